"""The training loop. It knows tasks and hooks, no losses, no teachers, no zoo."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from kdvideo.data.draws import Draws
from kdvideo.data.loader import EpochSampler
from kdvideo.distributed import mean_over_ranks
from kdvideo.engine.optim import Schedule
from kdvideo.engine.parallel import average_running_statistics, parallel, without_exchange
from kdvideo.tasks.task import Task

__all__ = ["BatchTransform", "Hook", "Trainer"]

BatchTransform = Callable[[Mapping[str, Any]], dict[str, Any]]


class Hook:
    """What happens around steps and epochs. Hooks run in the order in which they are given."""

    def before_epoch(self, trainer: "Trainer") -> None:
        """Before the first step of an epoch."""

    def after_step(self, trainer: "Trainer", scalars: Mapping[str, float]) -> None:
        """After an optimizer step."""

    def after_epoch(self, trainer: "Trainer", metrics: dict[str, Any]) -> None:
        """After the last step of an epoch; `metrics` is the epoch's line, hooks add to it."""

    def close(self) -> None:
        """When training ends, also by an error."""


class Trainer:
    """Runs a task over a loader.

    Args:
        task: see `kdvideo.registry.TASKS`.
        loader: batches; its sampler is an `EpochSampler`.
        optimizer: of the task's `trainable`; its groups have an `lr_scale`.
        schedule: progress in [0, 1) -> learning rate; or `ReduceLROnPlateau`, which a hook steps.
        num_epochs: to train.
        device: where the task is.
        clip_gradients: largest norm of the whole gradient; 0 leaves it alone.
        accumulate: equal parts in which a batch goes through the task, their gradients averaged.
        scaler: of the loss, for fp16; none for anything else.
        hooks: in their order.
        batch_transform: done to each batch on the device.
    """

    def __init__(
        self,
        task: Task,
        loader: DataLoader,
        *,
        optimizer: optim.Optimizer,
        schedule: Schedule,
        num_epochs: int,
        device: torch.device,
        clip_gradients: float = 0.0,
        accumulate: int = 1,
        scaler: torch.amp.GradScaler | None = None,
        hooks: Sequence[Hook] = (),
        batch_transform: BatchTransform | None = None,
    ) -> None:
        self.task = task
        self._forward = parallel(task)
        self.loader = loader
        self.optimizer = optimizer
        self.schedule = schedule
        self.num_epochs = num_epochs
        self.device = device
        self.clip_gradients = clip_gradients
        self.accumulate = accumulate
        self.scaler = scaler or torch.amp.GradScaler(device.type, enabled=False)
        self.hooks = hooks
        self.batch_transform = batch_transform
        self.epoch = 0  # finished epochs
        self.step = 0  # finished steps

    def train(self) -> None:
        """Trains from `self.epoch` to `num_epochs`."""
        try:
            while self.epoch < self.num_epochs:
                metrics = self._train_epoch()
                for hook in self.hooks:
                    hook.after_epoch(self, metrics)
        finally:
            for hook in self.hooks:
                hook.close()

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on from here."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "student": self.task.student.state_dict(),
            "task": self.task.task_state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "plateau": self.schedule.state_dict() if isinstance(self.schedule, ReduceLROnPlateau) else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.task.student.load_state_dict(state["student"])
        self.task.load_task_state(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.load_state_dict(state["plateau"])
        self.epoch, self.step = state["epoch"], state["step"]

    def _train_epoch(self) -> dict[str, Any]:
        assert isinstance(self.loader.sampler, EpochSampler)
        self.loader.sampler.epoch = self.epoch
        self._forward.train()
        # A backbone with dropout draws the same after resuming, and not the same on every rank.
        sampler = self.loader.sampler
        torch.manual_seed(Draws(sampler.seed, "torch", epoch=self.epoch, index=sampler.rank).integer(2**63))
        for hook in self.hooks:
            hook.before_epoch(self)
        sums: defaultdict[str, float] = defaultdict(float)
        for batch in self.loader:
            scalars = self._train_step(batch)
            for name, value in scalars.items():
                sums[name] += value
            for hook in self.hooks:
                hook.after_step(self, scalars)
        self.epoch += 1
        means = {name: total / len(self.loader) for name, total in sums.items()}
        return {"epoch": self.epoch, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"], **means}

    def _train_step(self, batch: Mapping[str, Any]) -> dict[str, float]:
        if not isinstance(self.schedule, ReduceLROnPlateau):
            rate = self.schedule(self.step / (self.num_epochs * len(self.loader)))
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]
        batch = {
            key: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        if self.batch_transform is not None:
            batch = self.batch_transform(batch)
        scalars = self._compute_gradients(batch)
        # fp16's scaler leaves out a step whose gradient is not finite, and lowers its scale
        guarded = ("loss",) if self.scaler.is_enabled() else ("loss", "grad_norm")
        if not all(math.isfinite(scalars[name]) for name in guarded):
            parts = ", ".join(f"{name} {value:.4g}" for name, value in scalars.items())
            raise FloatingPointError(
                f"loss or gradient is not finite at step {self.step} of epoch {self.epoch + 1} ({parts}); "
                "lower SOLVER.BASE_LR or set SOLVER.CLIP_GRADIENTS, then --resume from the last good epoch"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        average_running_statistics(self.task)
        self.step += 1
        return scalars

    def _compute_gradients(self, batch: Mapping[str, Any]) -> dict[str, float]:
        self.optimizer.zero_grad(set_to_none=True)
        sums: defaultdict[str, float] = defaultdict(float)
        for number, part in enumerate(_split(batch, self.accumulate), start=1):
            # Ranks exchange gradients once a step, with the last part.
            with without_exchange(self._forward) if number < self.accumulate else nullcontext():
                outputs = self._forward(part)
                self.scaler.scale(outputs["loss"] / self.accumulate).backward()
            for name, value in outputs.items():
                sums[name] += value.item() / self.accumulate
        self.scaler.unscale_(self.optimizer)
        grad_norm = nn.utils.clip_grad_norm_(self._parameters(), self.clip_gradients or math.inf)
        return mean_over_ranks({**sums, "grad_norm": grad_norm.item()})

    def _parameters(self) -> Iterable[nn.Parameter]:
        return (parameter for group in self.optimizer.param_groups for parameter in group["params"])


def _split(batch: Mapping[str, Any], num_parts: int) -> Iterator[Mapping[str, Any]]:
    """Equal parts of a batch, of its tensors and lists alike."""
    size = len(next(iter(batch.values()))) // num_parts
    for start in range(0, num_parts * size, size):
        yield {key: value[start : start + size] for key, value in batch.items()}
