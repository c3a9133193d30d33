"""What tests of whole runs share: runs with the numbers of each step, and a trained teacher."""

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from kdvideo.config import load_config
from kdvideo.engine.launch import RunResult, train
from kdvideo.engine.trainer import Hook

Run = Callable[..., tuple[list[dict], RunResult]]

# Ways to store answers: read once more, they must be those that were computed.
STORED = pytest.mark.parametrize(
    "options",
    [
        ["TEACHER.REPLAY", "True"],
        ["TEACHER.REPLAY", "True", "TEACHER.SAMPLING", "own", "SOLVER.ACCUMULATE", "2"],
        ["TEACHER.VIEWS", "2", "DATA.AUGMENT_ON", "device", "SOLVER.AMP", "bf16"],
    ],
    ids=["shared", "own_accumulated", "views_device_bf16"],
)


class Trace(Hook):
    """Keeps the scalars of each step."""

    def __init__(self) -> None:
        self.losses: list[dict] = []

    def after_step(self, trainer, scalars):
        self.losses.append(dict(scalars))


@cache
def _zoo_of_a_teacher(settings: tuple[tuple[str, str], ...]) -> Path:
    """Trains a teacher once in a process; returns the folder of its zoo."""
    folder = Path(tempfile.mkdtemp())
    places = ["ZOO.DIR", str(folder / "zoo"), "OUTPUT_DIR", str(folder / "run")]
    train(load_config(None, [*(word for pair in settings for word in pair), *places]))
    return folder / "zoo"


def train_teacher(overrides: list[str], *options: str) -> list[str]:
    """Has a teacher, trained for one epoch, in the overrides' zoo; returns the overrides of a distillation from it."""
    words = [*overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "t.a", *options]
    settings = dict(zip(words[::2], words[1::2], strict=True))
    zoo = settings.pop("ZOO.DIR")
    del settings["OUTPUT_DIR"]
    shutil.copytree(_zoo_of_a_teacher(tuple(settings.items())), zoo, dirs_exist_ok=True)
    return [*overrides, "TASK.NAME", "distill", "TEACHER.WEIGHTS", settings["ZOO.PUBLISH_AS"]]


def traced_runs(overrides: list[str], folder: Path) -> Run:
    """Returns a function that trains into a subfolder; it gives the scalars of each step, and the result."""

    def run(name: str, *extra: str, **keywords) -> tuple[list[dict], RunResult]:
        trace = Trace()
        options = ["OUTPUT_DIR", str(folder / name), *extra]
        result = train(load_config(None, [*overrides, *options]), extra_hooks=(trace,), **keywords)
        return trace.losses, result

    return run
