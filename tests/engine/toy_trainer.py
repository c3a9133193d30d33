"""A trainer of one weight, for tests of the loop, its hooks and its schedules."""

import torch
from torch.utils.data import DataLoader, Dataset

from kdvideo.config import get_defaults
from kdvideo.data.loader import EpochSampler
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.trainer import StepOptions, Trainer
from kdvideo.tasks.task import Task


class _Numbers(Dataset):
    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        return {"x": torch.tensor([float(index)]), "epoch": epoch}

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
        schedule=build_schedule(cfg, optimizer),
        num_epochs=cfg.SOLVER.EPOCHS,
        device=torch.device("cpu"),
        options=StepOptions(clip_gradients=cfg.SOLVER.CLIP_GRADIENTS, accumulate=cfg.SOLVER.ACCUMULATE),
    )
