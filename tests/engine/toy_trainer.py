"""A trainer of one weight, for tests of the loop, its hooks and its schedules."""

from collections.abc import Mapping

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from kdvideo.config import get_defaults
from kdvideo.data.loader import EpochSampler
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.step import StepOptions
from kdvideo.engine.stop import Preempted
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.tasks.task import Task


class _Numbers(Dataset):
    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        return {"x": torch.tensor([float(index)]), "epoch": epoch, "index": index}

    def __len__(self) -> int:
        return 6


class _Line(Task):
    """Fits y = 2x with one weight; where `noise` is set, torch's generator draws it."""

    noise = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.trainable = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.trainable.weight)

    def forward(self, batch: dict) -> dict:
        error = self.trainable(batch["x"]) - 2 * batch["x"]
        return {
            "loss": error.square().mean() * (1 + self.noise * torch.rand(())),
            "epoch_seen": batch["epoch"].float().mean(),
        }


def make_trainer(**solver) -> Trainer:
    cfg = get_defaults()
    cfg.SOLVER.merge_from_list([item for pair in {"BASE_LR": 0.01, "EPOCHS": 3, **solver}.items() for item in pair])
    task = _Line()
    optimizer = build_optimizer(cfg, task.trainable, backbone=task.trainable)
    return Trainer(
        task,
        DataLoader(_Numbers(), batch_size=2, sampler=EpochSampler(6, seed=0, batch_size=2), drop_last=True),
        optimizer=optimizer,
        schedule=build_schedule(cfg, optimizer, metric="accuracy"),
        num_epochs=cfg.SOLVER.EPOCHS,
        device=torch.device("cpu"),
        options=StepOptions(clip_gradients=cfg.SOLVER.CLIP_GRADIENTS, accumulate=cfg.SOLVER.ACCUMULATE),
    )


class Lines(Hook):
    """Keeps each epoch's line, and each step's scalars.

    As the last hook it sees what the others have added.
    """

    def __init__(self) -> None:
        self.epochs: list[dict] = []
        self.steps: list[dict] = []

    def after_step(self, trainer: Trainer, scalars: Mapping[str, float]) -> None:
        self.steps.append({**scalars, "weight": trainer.task.trainable.weight.item()})

    def after_epoch(self, trainer: Trainer, metrics: dict) -> None:
        self.epochs.append(dict(metrics))


class Measured(Hook):
    """Says what each epoch's evaluation measures as `accuracy`; None for epochs without one."""

    def __init__(self, *values: float | None) -> None:
        self.values = values

    def after_epoch(self, trainer: Trainer, metrics: dict) -> None:
        value = self.values[trainer.epoch - 1]
        metrics.update({} if value is None else {"accuracy": value})
        trainer.schedule.observe(metrics)


def run(trainer: Trainer, *hooks: Hook, stop_at: int | None = None) -> Lines:
    """Trains, to the end or to the step after which it is stopped; returns what its epochs and steps said."""
    lines = Lines()
    if stop_at is None:
        trainer.train([*hooks, lines])
    else:
        with pytest.raises(Preempted, match=f"stopped after step {stop_at}, {(stop_at - 1) % 3 + 1} of epoch"):
            trainer.train([*hooks, lines], should_stop=lambda: trainer.step == stop_at)
    return lines
