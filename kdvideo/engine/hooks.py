"""Hooks of the trainer: evaluation, metrics files, checkpoints, progress."""

import logging
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdvideo.distributed import is_main
from kdvideo.engine.background import BackgroundWriter, StateCopy, can_write_beside
from kdvideo.engine.board import open_board
from kdvideo.engine.checkpoint import read_state, save_checkpoint, save_state
from kdvideo.engine.guards import EVALUATION_MEMORY, first_not_finite, out_of_memory_means, writing
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.progress import progress_bar

__all__ = ["Checkpointer", "EpochEvaluation", "KeepBest", "MetricsWriter", "OfTheAverage", "Progress"]

logger = logging.getLogger("kdvideo")


class EpochEvaluation(Hook):
    """Adds an evaluation to the metrics line of every `period`-th epoch and of the last epoch.

    Args:
        evaluate: measures the current model.
        period: number of epochs between evaluations.
    """

    def __init__(self, evaluate: Callable[[], Mapping[str, float]], *, period: int) -> None:
        self.evaluate = evaluate
        self.period = period

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Measures if an evaluation is due, and passes the result to the schedule."""
        if trainer.epoch % self.period == 0 or trainer.epoch == trainer.num_epochs:
            with out_of_memory_means(EVALUATION_MEMORY):
                metrics.update(self.evaluate())
            trainer.schedule.observe(metrics)


class KeepBest(Hook):
    """Keeps the student of the epoch with the best value of a metric in a file.

    Rank 0 writes the file. All ranks may read it. A file that was chosen by another metric, as by an earlier version of
    kdvideo, is replaced at the next measured epoch.

    Args:
        path: the file, e.g. `RunFolder(OUTPUT_DIR).best`.
        metric: name of the metric.
        replaces: whether an epoch's value, the first argument, replaces the best one so far, the second. By default,
            the lowest value is the best, and the latest epoch wins a tie.
        extra: constant entries of the file: how the model is built, and the names of its classes.
    """

    def __init__(
        self,
        path: Path,
        metric: str,
        *,
        extra: Mapping[str, Any],
        replaces: Callable[[float, float], bool] = operator.le,
    ) -> None:
        self.path = path
        self.metric = metric
        self.replaces = replaces
        self.extra = extra

    def before_epoch(self, trainer: Trainer) -> None:
        """Deletes the file of a run that died in its first epoch."""
        if trainer.epoch == 0 and is_main():
            self.path.unlink(missing_ok=True)

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Writes the student if no epoch was better."""
        if not is_main() or self.metric not in metrics:
            return
        best, value = self.read(), metrics[self.metric]
        if best is None or best.get("metric") != self.metric or self.replaces(value, best["value"]):
            state = {"epoch": trainer.epoch, "metric": self.metric, "value": value}
            save_state(self.path, {**state, "student": trainer.task.student.state_dict(), **self.extra})

    def read(self) -> dict[str, Any] | None:
        """Returns `epoch`, `value` and weights of the best epoch so far. None before the first epoch."""
        return read_state(self.path) if self.path.exists() else None


class OfTheAverage(Hook):
    """Has other hooks measure and keep the average of the student's weights in place of the trained ones.

    Args:
        hooks: the hooks, which act before and after epochs.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.hooks = hooks

    def before_epoch(self, trainer: Trainer) -> None:
        """Calls what its hooks do before an epoch."""
        for hook in self.hooks:
            hook.before_epoch(trainer)

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Calls the hooks' own while the student has the averaged weights."""
        assert trainer.run_step.average is not None, "the trainer was built without an average"
        with trainer.run_step.average.given():
            for hook in self.hooks:
                hook.after_epoch(trainer, metrics)


class MetricsWriter(Hook):
    """Writes one JSON line per epoch to `metrics.jsonl`, and the same to TensorBoard if it can be imported.

    TensorBoard also gets the run's settings, from its folder's config.

    A resumed run drops the lines of epochs after its checkpoint, because it will write them again.

    Args:
        folder: the run's folder.
        first_epoch: number of finished epochs in the checkpoint. 0 for a new run.
    """

    def __init__(self, folder: RunFolder, *, first_epoch: int) -> None:
        self.folder = folder
        self.started = time.perf_counter()
        folder.keep_epochs(first_epoch)
        self.board = open_board(folder, purge_step=first_epoch + 1)

    def before_epoch(self, trainer: Trainer) -> None:
        """Starts the timer of the epoch."""
        self.started = time.perf_counter()

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Writes the metrics line of the epoch."""
        metrics["seconds"] = round(time.perf_counter() - self.started, 2)
        self.folder.append_line(metrics)
        if self.board is None:
            return
        with writing(self.folder.board):
            for name, value in metrics.items():
                self.board.add_scalar(name, value, metrics["epoch"])
            self.board.flush()

    def close(self) -> None:
        """Closes the event file of TensorBoard."""
        if self.board is not None:
            with suppress(OSError):  # nothing is pending, unless a write has failed, and that was already reported
                self.board.close()


class Checkpointer(Hook):
    """Saves the run after every `epochs`-th and the last epoch, when it is stopped, and every `period` steps.

    On a GPU, a thread writes the file while the training goes on. The training waits for it before the next checkpoint,
    when it stops, and at its end. An error of the thread ends the training after the current step.

    Args:
        folder: the run's folder.
        epochs: number of epochs between checkpoints.
        period: number of steps between checkpoints. 0 for none within an epoch.
        max_to_keep: number of checkpoints to keep, including the newest.
        extra: constant entries of the checkpoint, e.g. how the model is built.
    """

    def __init__(
        self, folder: RunFolder, *, epochs: int = 1, period: int, max_to_keep: int, extra: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.epochs = epochs
        self.period = period
        self.max_to_keep = max_to_keep
        self.extra = extra
        self.writer = BackgroundWriter()

    def after_step(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        """Saves the run if a checkpoint is due."""
        self.writer.check()
        if self.period and trainer.step % self.period == 0:
            self._save(trainer)

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Saves the run after an epoch if a checkpoint is due."""
        is_last = trainer.epoch == trainer.num_epochs
        if is_last or trainer.epoch % self.epochs == 0:
            self._save(trainer)
        if is_last:
            self.writer.wait()

    def before_stop(self, trainer: Trainer) -> None:
        """Saves the run between two steps."""
        self._save(trainer)
        self.writer.wait()

    def close(self) -> None:
        """Waits until the last checkpoint is written."""
        self.writer.close()

    def _save(self, trainer: Trainer) -> None:
        state = {**trainer.state(), **self.extra}
        if can_write_beside(trainer.device):
            self.writer.wait()  # so that the host's memory holds one copy, not two
            copied, step = StateCopy(state, device=trainer.device), trainer.step
            self.writer.start(lambda: self._write(copied.read(), step))
        else:
            self._write(state, trainer.step)

    def _write(self, state: Mapping[str, Any], step: int) -> None:
        trained = {key: state[key] for key in ("student", "average", "task", "optimizer") if key in state}
        if (name := first_not_finite(trained)) is not None:
            raise FloatingPointError(
                f"{name} is not finite after step {step}; the checkpoint before it is kept: start again with a "
                "lower SOLVER.BASE_LR or with SOLVER.CLIP_GRADIENTS"
            )
        save_checkpoint(self.folder, state, max_to_keep=self.max_to_keep)


class Progress(Hook):
    """Shows a progress bar with the remaining time on a terminal or in a notebook, and logs one line per epoch."""

    def __init__(self, num_steps: int, *, done: int = 0) -> None:
        self.bar = progress_bar(total=num_steps, initial=done, unit="step")
        self._before: Mapping[str, float] = {}

    def after_step(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        """Moves the bar forward by one step. The loss shown is that of the step before, which is known already."""
        loss = f" loss {self._before['loss']:.3f}" if self._before else ""
        self.bar.set_postfix_str(f"epoch {trainer.epoch + 1}/{trainer.num_epochs}{loss}")
        self._before = scalars
        self.bar.update()

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        """Logs the metrics line of the epoch, and what share of its training was spent waiting for the loader."""
        shown = {name: value for name, value in metrics.items() if name not in ("epoch", "step", "lr")}
        values = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        with tqdm.external_write_mode():
            logger.info(
                "epoch %d/%d  %s  waited %.0f %% for data",
                *(trainer.epoch, trainer.num_epochs, values, 100 * trainer.feed.waiting),
            )

    def close(self) -> None:
        """Removes the bar from the terminal."""
        self.bar.close()
