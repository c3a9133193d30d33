"""The training loop. It knows tasks and hooks, but no losses, teachers or zoo."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader

from kdvideo.data.batch import Batch, batch_size, map_batch
from kdvideo.data.draws import Draws
from kdvideo.data.loader import EpochSampler
from kdvideo.distributed import mean_over_ranks, wait_for_all
from kdvideo.engine.guards import describe_samples, out_of_memory_means
from kdvideo.engine.optim import Schedule
from kdvideo.engine.parallel import average_running_statistics, parallel, without_exchange
from kdvideo.engine.stop import Preempted
from kdvideo.tasks.task import Task

__all__ = ["BatchTransform", "Hook", "StepOptions", "Trainer"]

BatchTransform = Callable[[Batch], Batch]

SKIPPED = "skipped_steps"  # number of an epoch's steps whose fp16 gradient was not finite
_SMALLEST_SCALE = 1e-4  # smallest scale of the loss, as fairseq's min_loss_scale; below it, something else is wrong


class Hook:
    """Actions around steps and epochs. Hooks run in the order in which they are given."""

    def before_epoch(self, trainer: "Trainer") -> None:
        """Acts before an epoch's first step, or before the first step after resuming."""

    def after_step(self, trainer: "Trainer", scalars: Mapping[str, float]) -> None:
        """Acts after each optimizer step."""

    def after_epoch(self, trainer: "Trainer", metrics: dict[str, Any]) -> None:
        """Acts after an epoch. `metrics` is its metrics line, to which hooks add values."""

    def before_stop(self, trainer: "Trainer") -> None:
        """Acts after the step at which `Trainer.should_stop` ended the training."""

    def close(self) -> None:
        """Acts when training ends, also if an error ends it."""


@dataclass(frozen=True)
class StepOptions:
    """How a step computes its gradients.

    Attributes:
        clip_gradients: largest norm of the whole gradient. 0 disables clipping.
        accumulate: number of equal parts of a batch that go through the task one by one. Their gradients are averaged.
        scale_loss: whether the loss is scaled, which fp16 needs.
    """

    clip_gradients: float = 0.0
    accumulate: int = 1
    scale_loss: bool = False


class Trainer:
    """Trains a task on the batches of a loader.

    Args:
        task: the task; see `kdvideo.registry.TASKS`.
        loader: yields batches. Its sampler is an `EpochSampler`.
        optimizer: the optimizer of the task's `trainable`. Each of its groups has an `lr_scale`.
        schedule: the learning rate of each step. `EpochEvaluation` passes it the result of each evaluation.
        num_epochs: number of epochs to train.
        device: the task's device.
        options: how each step computes its gradients.
        batch_transform: function that is applied to each batch on the device.

    Attributes:
        hooks: the hooks of the current training, in their order.
        should_stop: whether the current training has to stop after this step.
        epoch: number of finished epochs.
        epoch_step: number of finished steps in the current epoch.
        step: number of finished steps in all epochs.
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
        options: StepOptions = StepOptions(),
        batch_transform: BatchTransform | None = None,
    ) -> None:
        self.task = task
        self._forward = parallel(task)
        self.loader = loader
        self.optimizer = optimizer
        self.schedule = schedule
        self.num_epochs = num_epochs
        self.device = device
        self.options = options
        self.scaler = torch.amp.GradScaler(device.type, enabled=options.scale_loss)
        self.batch_transform = batch_transform
        self.hooks: Sequence[Hook] = ()
        self.should_stop: Callable[[], bool] = lambda: False
        self.epoch = self.epoch_step = self.step = 0
        self._sums: defaultdict[str, float] = defaultdict(float)  # sums of the current epoch's scalars

    def train(self, hooks: Sequence[Hook] = (), *, should_stop: Callable[[], bool] | None = None) -> None:
        """Trains from the current state to the end of epoch `num_epochs`.

        Args:
            hooks: hooks that are called around epochs and steps, in this order.
            should_stop: called after every step; all ranks must get the same answer. Defaults to never stopping.

        Raises:
            Preempted: `should_stop` returned True. The hooks' `before_stop` has been called.
            FloatingPointError: loss, gradient or weights are infinite or NaN. Names the step and the samples.
            MemoryError: memory ran out. The message says which setting to lower.
            OSError: the disk is full, a folder is read-only, or a video is missing.
        """
        self.hooks = hooks
        self.should_stop = should_stop or self.should_stop
        try:
            while self.epoch < self.num_epochs:
                with out_of_memory_means("lower SOLVER.BATCH_SIZE or CLIP.SIZE, or raise SOLVER.ACCUMULATE"):
                    metrics = self._train_epoch()
                for hook in self.hooks:
                    hook.after_epoch(self, metrics)
        finally:
            for hook in self.hooks:
                hook.close()

    def state(self) -> dict[str, Any]:
        """Returns the state that `load_state` needs to continue from here."""
        return {
            "epoch": self.epoch,
            "epoch_step": self.epoch_step,
            "step": self.step,
            "num_samples": self.sampler.num_samples,
            "sums": dict(self._sums),
            "student": self.task.student.state_dict(),
            "task": self.task.task_state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from the result of `state`.

        Raises:
            ValueError: the state comes from a run on another number of samples.
        """
        if state["num_samples"] != self.sampler.num_samples:
            raise ValueError(
                f"--resume: the run was started on {state['num_samples']} videos, now there are "
                f"{self.sampler.num_samples}: bring back the missing ones, or start a new run"
            )
        self.task.student.load_state_dict(state["student"])
        self.task.load_task_state(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        # Earlier versions stored here what only a plateau schedule has.
        self.schedule.load_state_dict(state["schedule"] if "schedule" in state else state["plateau"] or {})
        self.epoch, self.epoch_step, self.step = state["epoch"], state["epoch_step"], state["step"]
        self._sums = defaultdict(float, state["sums"])

    @property
    def sampler(self) -> EpochSampler:
        """The sampler of the loader."""
        assert isinstance(self.loader.sampler, EpochSampler)
        return self.loader.sampler

    def _train_epoch(self) -> dict[str, Any]:
        self.sampler.epoch, self.sampler.start_step = self.epoch, self.epoch_step
        self._forward.train()
        for hook in self.hooks:
            hook.before_epoch(self)
        for batch in self._batches():
            self._seed_step()
            scalars = self._train_step(batch)
            self.epoch_step += 1
            for name, value in scalars.items():
                self._sums[name] += value
            for hook in self.hooks:
                hook.after_step(self, scalars)
            if self.should_stop():
                self._stop()
        means = _means(self._sums, len(self.loader))
        self.epoch, self.epoch_step = self.epoch + 1, 0
        self._sums.clear()
        return {"epoch": self.epoch, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"], **means}

    def _batches(self) -> Iterator[Batch]:
        """Yields the loader's batches. If a video is missing and a stop is requested, it stops before the next step."""
        try:
            yield from self.loader
        except OSError:
            if self.sampler.world_size > 1 or not self.should_stop():  # ranks stop together, after a step
                raise
            self._stop()

    def _seed_step(self) -> None:
        """Seeds torch for the step, so that dropout draws the same values after resuming.

        Each rank has its own seed.
        """
        place = self.epoch_step * self.sampler.world_size + self.sampler.rank
        torch.manual_seed(Draws(self.sampler.seed, "torch", epoch=self.epoch, index=place).integer(2**63))

    def _stop(self) -> None:
        for hook in self.hooks:
            hook.before_stop(self)
        wait_for_all()  # as soon as one process ends, torchrun and srun end the others
        raise Preempted(f"stopped after step {self.step}, {self.epoch_step} of epoch {self.epoch + 1}")

    def _train_step(self, batch: Batch) -> dict[str, float]:
        progress = self.step / (self.num_epochs * len(self.loader))
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(progress, group)
        batch = map_batch(batch, self._move)
        if self.batch_transform is not None:
            batch = self.batch_transform(batch)
        scalars = self._compute_gradients(batch)
        # fp16's scaler skips a step whose gradient is not finite, and lowers its scale.
        guarded = ("loss",) if self.scaler.is_enabled() else ("loss", "grad_norm")
        if not all(math.isfinite(scalars[name]) for name in guarded):
            parts = ", ".join(f"{name} {value:.4g}" for name, value in scalars.items())
            raise FloatingPointError(
                f"loss or gradient is not finite at step {self.step + 1}, {self.epoch_step + 1} of epoch "
                f"{self.epoch + 1} ({parts}) with {describe_samples(batch, self.loader.dataset)}; the checkpoint "
                "before is kept: start again with a lower SOLVER.BASE_LR or with SOLVER.CLIP_GRADIENTS"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < _SMALLEST_SCALE:
            raise FloatingPointError(
                f"gradients in fp16 are not finite up to step {self.step + 1}, however small the loss is scaled; the "
                "checkpoint before is kept: start again with SOLVER.AMP bf16 or fp32, or with a lower SOLVER.BASE_LR"
            )
        average_running_statistics(self.task)
        self.step += 1
        if math.isfinite(scalars["grad_norm"]):
            return scalars
        return {**{name: value for name, value in scalars.items() if name != "grad_norm"}, SKIPPED: 1.0}

    def _move(self, value: Any) -> Any:
        return value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value

    def _compute_gradients(self, batch: Batch) -> dict[str, float]:
        self.optimizer.zero_grad(set_to_none=True)
        sums: defaultdict[str, float] = defaultdict(float)
        for number, part in enumerate(_split(batch, self.options.accumulate), start=1):
            # Ranks exchange gradients once per step, with the last part.
            with without_exchange(self._forward) if number < self.options.accumulate else nullcontext():
                outputs = self._forward(part)
                self.scaler.scale(outputs["loss"] / self.options.accumulate).backward()
            for name, value in outputs.items():
                sums[name] += value.item() / self.options.accumulate
        self.scaler.unscale_(self.optimizer)
        grad_norm = nn.utils.clip_grad_norm_(self._parameters(), self.options.clip_gradients or math.inf)
        return mean_over_ranks({**sums, "grad_norm": grad_norm.item()})

    def _parameters(self) -> Iterable[nn.Parameter]:
        return (parameter for group in self.optimizer.param_groups for parameter in group["params"])


def _means(sums: Mapping[str, float], num_steps: int) -> dict[str, float]:
    """Returns an epoch's means over its steps. The gradient norm is averaged over the steps that were not skipped."""
    taken = num_steps - int(sums.get(SKIPPED, 0))
    means = {name: total / num_steps for name, total in sums.items() if name not in ("grad_norm", SKIPPED)}
    means |= {"grad_norm": sums["grad_norm"] / taken} if "grad_norm" in sums else {}
    return means | ({SKIPPED: sums[SKIPPED]} if SKIPPED in sums else {})


def _split(batch: Batch, num_parts: int) -> Iterator[Batch]:
    """Yields equal parts of a batch. Tensors `[B, ...]` and lists are both split."""
    size = batch_size(batch) // num_parts
    for start in range(0, num_parts * size, size):
        yield map_batch(batch, itemgetter(slice(start, start + size)))
