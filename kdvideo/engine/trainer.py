"""The training loop. It knows tasks and hooks, but no losses, teachers or zoo."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import optim
from torch.utils.data import DataLoader

from kdvideo.data.batch import Batch
from kdvideo.data.draws import Draws
from kdvideo.data.loader import EpochSampler
from kdvideo.distributed import wait_for_all
from kdvideo.engine.feed import Feed
from kdvideo.engine.graph import build_step
from kdvideo.engine.guards import TRAINING_MEMORY, describe_samples, out_of_memory_means
from kdvideo.engine.optim import Schedule
from kdvideo.engine.scalars import StepScalars, epoch_means
from kdvideo.engine.step import StepOptions
from kdvideo.engine.stop import Preempted
from kdvideo.tasks.task import Task

__all__ = ["BatchTransform", "Hook", "Trainer"]

BatchTransform = Callable[[Batch], Batch]


class Hook:
    """Actions around steps and epochs. Hooks run in the order in which they are given."""

    def before_epoch(self, trainer: "Trainer") -> None:
        """Acts before an epoch's first step, or before the first step after resuming."""

    def after_step(self, trainer: "Trainer", scalars: Mapping[str, float]) -> None:
        """Acts after each optimizer step.

        Args:
            trainer: the trainer, whose state is that after the step.
            scalars: the step's numbers. On a GPU, a look at them waits until the GPU has done the step, and the next
                step starts late. So keep the mapping, and look at it one step later.
        """

    def after_epoch(self, trainer: "Trainer", metrics: dict[str, Any]) -> None:
        """Acts after an epoch. `metrics` is its metrics line, to which hooks add values."""

    def before_stop(self, trainer: "Trainer") -> None:
        """Acts after the step at which `Trainer.should_stop` ended the training."""

    def close(self) -> None:
        """Acts when training ends, also if an error ends it."""


class Trainer:
    """Trains a task on the batches of a loader.

    Args:
        task: the task; see `kdvideo.registry.TASKS`.
        loader: yields batches. Its sampler is an `EpochSampler`.
        optimizer: the optimizer of the task's `trainable`. Each of its groups has an `lr_scale`.
        schedule: the learning rate of each step. `EpochEvaluation` passes it the result of each evaluation.
        num_epochs: number of epochs to train.
        device: the task's device.
        options: how each step computes its gradients. Defaults to `StepOptions()`.
        batch_transform: function that is applied to each batch on the device.

    Attributes:
        feed: brings the batches, and knows how long the training waited for them.
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
        options: StepOptions | None = None,
        batch_transform: BatchTransform | None = None,
    ) -> None:
        self.task = task
        self.feed = Feed(loader, device)
        self.optimizer = optimizer
        self.schedule = schedule
        self.num_epochs = num_epochs
        self.device = device
        self.run_step = build_step(task, optimizer=optimizer, device=device, options=options or StepOptions())
        self.batch_transform = batch_transform
        self.hooks: Sequence[Hook] = ()
        self.should_stop: Callable[[], bool] = lambda: False
        self.epoch = self.epoch_step = self.step = 0
        self._sums: defaultdict[str, float] = defaultdict(float)  # sums of the current epoch's scalars
        self._unread: tuple[StepScalars, Batch] | None = None  # of the last step, with its samples

    def train(self, hooks: Sequence[Hook] = (), *, should_stop: Callable[[], bool] | None = None) -> None:
        """Trains from the current state to the end of epoch `num_epochs`.

        Args:
            hooks: hooks that are called around epochs and steps, in this order.
            should_stop: called after every step; all ranks must get the same answer. Defaults to never stopping.

        Raises:
            Preempted: `should_stop` returned True. The hooks' `before_stop` has been called.
            FloatingPointError: loss, gradient or weights are infinite or NaN. Names the step and the samples. On a CPU,
                the weights are those before that step. On a GPU, the step has spoilt them, and the next one may have.
            MemoryError: memory ran out. The message says which setting to lower.
            OSError: the disk is full, a folder is read-only, or a video is missing.
        """
        self.hooks = hooks
        self.should_stop = should_stop or self.should_stop
        try:
            while self.epoch < self.num_epochs:
                with out_of_memory_means(TRAINING_MEMORY):
                    metrics = self._train_epoch()
                    for hook in self.hooks:
                        hook.after_epoch(self, metrics)
        finally:
            for hook in self.hooks:
                hook.close()
            self.feed.close()

    def state(self) -> dict[str, Any]:
        """Returns the state that `load_state` needs to continue from here.

        `student` has the weights that would be published: the average, if there is one.

        Raises:
            FloatingPointError: as `train`; the last step's numbers are checked first.
        """
        self._read()
        average = self.run_step.average
        return {
            "epoch": self.epoch,
            "epoch_step": self.epoch_step,
            "step": self.step,
            "num_samples": self.sampler.num_samples,
            "sums": dict(self._sums),
            "student": (average or self.task.student).state_dict(),
            **({} if average is None else {"average": average.progress()}),
            "task": self.task.task_state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.run_step.scaler.state_dict(),
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
        if self.run_step.average is None:
            self.task.student.load_state_dict(state["student"])
        else:
            self.run_step.average.load(state["student"], state["average"])
        self.task.load_task_state(state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.run_step.scaler.load_state_dict(state["scaler"])
        # Earlier versions stored here what only a plateau schedule has.
        self.schedule.load_state_dict(state["schedule"] if "schedule" in state else state["plateau"] or {})
        self.epoch, self.epoch_step, self.step = state["epoch"], state["epoch_step"], state["step"]
        self._sums = defaultdict(float, state["sums"])

    @property
    def loader(self) -> DataLoader:
        """The loader of the batches."""
        return self.feed.loader

    @property
    def sampler(self) -> EpochSampler:
        """The sampler of the loader."""
        return self.feed.sampler

    def _train_epoch(self) -> dict[str, Any]:
        self.feed.start(self.epoch, self.epoch_step)
        self.run_step.forward.train()
        for hook in self.hooks:
            hook.before_epoch(self)
        for batch in self._batches():
            self._seed_step()
            scalars = self._train_step(batch)
            for hook in self.hooks:
                hook.after_step(self, scalars)
            if self.should_stop():
                self._stop()
        self._read()
        self.task.flush()
        means = epoch_means(self._sums, len(self.loader))
        self.epoch, self.epoch_step = self.epoch + 1, 0
        self._sums.clear()
        if self.epoch < self.num_epochs:
            self.feed.start(self.epoch)  # while the hooks measure and save this epoch
        return {"epoch": self.epoch, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"], **means}

    def _batches(self) -> Iterator[Batch]:
        """Yields the loader's batches. If a video is missing and a stop is requested, it stops before the next step."""
        try:
            yield from self.feed.batches(self.epoch, self.epoch_step)
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
        self._read()
        self.task.flush()
        for hook in self.hooks:
            hook.before_stop(self)
        wait_for_all()  # as soon as one process ends, torchrun and srun end the others
        raise Preempted(f"stopped after step {self.step}, {self.epoch_step} of epoch {self.epoch + 1}")

    def _train_step(self, batch: Batch) -> StepScalars:
        """Does one step, and reads the numbers of the step before. On a CPU, it reads those of this step, too."""
        samples = Batch(index=batch["index"]) if "index" in batch else Batch()
        self._set_rates()
        results = self.run_step(self._to_device(batch))
        self.step, self.epoch_step = self.step + 1, self.epoch_step + 1
        place = f"step {self.step}, {self.epoch_step} of epoch {self.epoch + 1}"
        scalars = StepScalars(results, place=place)
        self._read()
        self._unread = scalars, samples
        if not scalars.is_late:
            self._read()
        return scalars

    def _set_rates(self) -> None:
        progress = self.step / (self.num_epochs * len(self.loader))
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(progress, group)

    def _to_device(self, batch: Batch) -> Batch:
        batch = self.feed.to_device(self.task.complete_batch(batch))
        return batch if self.batch_transform is None else self.batch_transform(batch)

    def _read(self) -> None:
        """Reads the numbers that have not been read, checks them, and adds them to the epoch's sums.

        It is called one step later, and before the numbers or the weights leave the trainer.
        """
        if self._unread is None:
            return
        (scalars, samples), self._unread = self._unread, None
        scalars.check(lambda: describe_samples(samples, self.loader.dataset))
        for name, value in scalars.terms.items():
            self._sums[name] += value
