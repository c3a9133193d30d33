"""Training steps whose batches come from videos, for `end_to_end.py` and `plain_train.py`.

The run's own parts are built as `kdvideo train` builds them: lists, loader with its workers, task, optimizer, trainer.
First the trainer takes steps on a few of the loader's batches, which are kept in memory: the compute-only rate. Then it
trains real epochs, with nothing evaluated between them. The list may be repeated, so that a small dataset has epochs as
long as a large one's.
"""

import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from one_process import NUM_WARM, StepTimer
from step_cases import AfterStepHook, KeptBatches, computing_as_run, random_teacher

from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import stop_workers
from kdvideo.data.samples import TrainTuples
from kdvideo.engine.memory import keep_freed_memory
from kdvideo.engine.pretraining import pretraining
from kdvideo.engine.run import RunParts
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.stop import Preempted
from kdvideo.engine.supervised import supervised
from kdvideo.engine.trainer import Trainer
from kdvideo.engine.training import build_task, build_trainer
from kdvideo.needs import needs_of
from kdvideo.tasks.task import Task

NUM_KEPT = 4  # batches of the compute-only steps


class RateTimer(AfterStepHook):
    """Measures the steps a second of real epochs, after some that warm up.

    Args:
        seconds: how long it measures.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(self.count)
        self.seconds = seconds
        self.first_step = self.elapsed = 0.0
        self.num_steps, self.epochs = 0, 0
        self.waiting: list[float] = []
        self._created, self._started = time.perf_counter(), 0.0

    def count(self) -> bool:
        """Notes a step, and returns whether another one follows."""
        self.num_steps += 1
        if self.num_steps == 1:
            _wait()
            self.first_step = time.perf_counter() - self._created
        if self.num_steps == NUM_WARM:
            _wait()
            self._started = time.perf_counter()
        if self.num_steps <= NUM_WARM or time.perf_counter() - self._started < self.seconds:
            return True
        _wait()
        self.elapsed = time.perf_counter() - self._started
        return False

    def steps_a_second(self) -> float:
        """Steps that count, by the seconds that they took."""
        return (self.num_steps - NUM_WARM) / self.elapsed

    def after_epoch(self, trainer: Trainer, metrics: dict[str, Any]) -> None:
        self.epochs += 1
        self.waiting.append(round(trainer.feed.waiting, 4))


def measure_run(cfg: CfgNode, *, repeat: int = 1, seconds: float = 12, num_steps: int = 20) -> dict[str, Any]:
    """Measures samples a second of the run that a config describes.

    Args:
        cfg: a config. A teacher has random weights, as they do not change how long a step takes.
        repeat: how many times the training list is repeated.
        seconds: how long real epochs are measured.
        num_steps: compute-only steps that count.

    Returns:
        Samples a second end to end and compute only, their ratio, and each epoch's share of waiting for the loader.
    """
    keep_freed_memory()
    logging.basicConfig(level="WARNING")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder, computing_as_run(cfg, device.type):
        started = time.perf_counter()
        put_together = supervised if needs_of(cfg.TASK.NAME).classes else pretraining
        parts = _repeat_videos(put_together(cfg, RunFolder(Path(folder)), device=device), repeat)
        teachers = [random_teacher(parts.spec)] if needs_of(cfg.TASK.NAME).teacher == "must" else []
        task = build_task(cfg, parts, teachers=teachers, device=device)
        prepared = time.perf_counter() - started
        alone, num_workers = _compute_only(cfg, parts, task, num_steps=num_steps)
        real = _real_epochs(cfg, parts, task, seconds=seconds)
    size = cfg.SOLVER.BATCH_SIZE
    return {
        "device": device.type,
        "videos": len(parts.videos),
        "workers": num_workers,
        "prepared_s": round(prepared, 2),
        "first_step_s": round(real.first_step, 2),
        "epochs": real.epochs,
        "steps": real.num_steps - NUM_WARM,
        "samples_per_s": round(size * real.steps_a_second(), 1),
        "compute_only_per_s": round(size * 1e3 / alone, 1),
        "share_of_compute_only": round(real.steps_a_second() * alone / 1e3, 4),
        "waiting": real.waiting[:20],
    }


def _repeat_videos(parts: RunParts, repeat: int) -> RunParts:
    if repeat == 1:
        return parts
    places = list(range(len(parts.videos))) * repeat

    def build_dataset(task: Task) -> TrainTuples | TrainClips:
        dataset = parts.build_dataset(task)
        dataset.videos = dataset.videos.subset(places)
        return dataset

    return replace(parts, videos=parts.videos.subset(places), build_dataset=build_dataset)


def _compute_only(cfg: CfgNode, parts: RunParts, task: Task, *, num_steps: int) -> tuple[float, int]:
    """Returns the median milliseconds of a step on kept batches, and the loader's workers."""
    trainer = build_trainer(cfg, parts, task=task, device=next(task.parameters()).device)
    loader = trainer.loader
    batches: Iterator[Any] = iter(loader)
    trainer.feed.loader = KeptBatches(loader, list(itertools.islice(batches, NUM_KEPT)))
    num_workers = loader.num_workers
    stop_workers(loader)
    timer = StepTimer(num_steps, profiled=False, on_cuda=torch.cuda.is_available())
    _train(trainer, AfterStepHook(timer.after_step))
    return statistics.median(timer.milliseconds()), num_workers


def _real_epochs(cfg: CfgNode, parts: RunParts, task: Task, *, seconds: float) -> RateTimer:
    timer = RateTimer(seconds)
    _train(build_trainer(cfg, parts, task=task, device=next(task.parameters()).device), timer)
    return timer


def _train(trainer: Trainer, hook: AfterStepHook) -> None:
    try:
        trainer.train([hook], should_stop=lambda: hook.ended)
    except Preempted:
        return


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
