"""Numbers that are read one step late, as on a GPU: the same lines, and nothing that is not finite gets into a file."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_trainer import make_trainer, run

from kdvideo.engine.checkpoint import load_checkpoint
from kdvideo.engine.hooks import Checkpointer, MetricsWriter, Progress
from kdvideo.engine.run_folder import CHECKPOINT_NAME, METRICS_NAME, RunFolder
from kdvideo.engine.trainer import Hook, Trainer


class _LateCopy:
    """A `HostCopy` as it is on a GPU; the copy is one, so what is computed next does not change it."""

    is_late = True

    def __init__(self, values: Tensor) -> None:
        self._copy = values.clone()

    def read(self) -> Tensor:
        return self._copy


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the trainer believe that it trains on a GPU, where numbers take their time."""
    monkeypatch.setattr("kdvideo.engine.scalars.HostCopy", _LateCopy)
    monkeypatch.setattr("kdvideo.engine.step.knows_at_once", lambda device: False)


class _Untouched(Hook):
    """Looks at no number before the step after it."""

    def __init__(self) -> None:
        self.kept: list = []
        self.unread: list[bool] = []

    def after_step(self, trainer: Trainer, scalars) -> None:
        self.unread.append("_values" not in vars(scalars))
        self.kept.append(scalars)


def spoil(trainer: Trainer, step: int) -> None:
    """Makes the loss of a step NaN."""
    forward = trainer.task.forward
    trainer.task.forward = lambda batch: {
        name: value * math.nan if trainer.step + 1 == step and name == "loss" else value
        for name, value in forward(batch).items()
    }


@pytest.mark.parametrize("solver", [{}, {"ACCUMULATE": 2}])
def test_the_same_lines(request: pytest.FixtureRequest, solver: dict):
    """Epochs' lines and steps' numbers, to the bit."""
    at_once = run(make_trainer(**solver))
    request.getfixturevalue("late")
    later = run(make_trainer(**solver))
    assert (later.epochs, later.steps) == (at_once.epochs, at_once.steps)


def test_nobody_waits(late: None):
    """A step's numbers are still unread when its hooks run; Progress does not read them, either."""
    trainer, hook = make_trainer(), _Untouched()
    trainer.train([Progress(9), hook])
    assert hook.unread == [True] * 9
    assert [scalars["epoch_seen"] for scalars in hook.kept] == [float(i // 3) for i in range(9)]


@pytest.mark.parametrize("step", range(1, 10))
def test_a_step_that_is_not_finite(late: None, tmp_path: Path, step: int):
    """The error names this step and its samples, and no file has its numbers or its weights."""
    trainer = make_trainer()
    spoil(trainer, step)
    folder = RunFolder(tmp_path)
    hooks = [MetricsWriter(folder, first_epoch=0), Checkpointer(folder, period=1, max_to_keep=9, extra={})]
    order = [index for epoch in range(3) for index in samples_of(trainer, epoch)]
    named = f"samples {order[2 * step - 2]}, {order[2 * step - 1]};"
    with pytest.raises(FloatingPointError, match=rf"at step {step}, {(step - 1) % 3 + 1} of epoch .*nan.*{named}"):
        trainer.train(hooks)
    lines = tmp_path / METRICS_NAME
    assert (len(lines.read_text().splitlines()) if lines.exists() else 0) == (step - 1) // 3
    for path in tmp_path.glob(f"{CHECKPOINT_NAME.partition('.')[0]}*.pt"):
        state = torch.load(path)
        assert state["step"] < step
        assert all(value.isfinite().all() for value in state["student"].values())


def samples_of(trainer: Trainer, epoch: int) -> list[int]:
    trainer.sampler.epoch, trainer.sampler.start_step = epoch, 0
    return [key.video for key in trainer.sampler]


def test_stopping_reads_first(late: None, tmp_path: Path):
    """The checkpoint of a stop has the sums of all steps before it."""
    whole, first, second = make_trainer(), make_trainer(), make_trainer()
    lines = run(whole).epochs
    stopped = run(first, Checkpointer(RunFolder(tmp_path), period=0, max_to_keep=2, extra={}), stop_at=5)
    second.load_state(load_checkpoint(RunFolder(tmp_path)))
    assert stopped.epochs + run(second).epochs == lines


def test_skipped_steps_are_counted(late: None):
    """The gradient of every second step overflows, because the scale doubles after each that was taken."""
    trainer = make_trainer(EPOCHS=30, BASE_LR=1e-4)
    trainer.run_step.options = replace(trainer.run_step.options, scale_loss=True)
    trainer.run_step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**123, growth_interval=1)
    seen = run(trainer)
    skipped = sum(line.get("skipped_steps", 0) for line in seen.epochs)
    assert len(seen.epochs) == 30
    assert skipped == sum("grad_norm" not in step for step in seen.steps) > 30
    assert all(math.isfinite(value) for line in seen.epochs for value in line.values())
