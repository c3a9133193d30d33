"""What tests of whole runs share: a hook that keeps the numbers of each step, and a trained teacher."""

from pathlib import Path

from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.trainer import Hook


class Trace(Hook):
    """Keeps the scalars of each step."""

    def __init__(self) -> None:
        self.losses: list[dict] = []

    def after_step(self, trainer, scalars):
        self.losses.append(dict(scalars))


def train_teacher(overrides: list[str], folder: Path, *options: str) -> list[str]:
    """Trains and publishes a teacher for one epoch; returns the overrides of a distillation from it."""
    own = ["OUTPUT_DIR", str(folder / "teacher"), "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "t.a", *options]
    train(load_config(None, [*overrides, *own]))
    return [*overrides, "TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a"]
