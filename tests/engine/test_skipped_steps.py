"""fp16: a step whose gradient overflows is left out, and the epoch's line says so and stays a line of numbers."""

import math
from pathlib import Path

import pytest
import simplejson
import torch
from toy_trainer import make_trainer, run

from kdvideo.engine.hooks import MetricsWriter
from kdvideo.engine.run_folder import METRICS_NAME, RunFolder
from kdvideo.engine.trainer import Trainer


def scaled_trainer(*, scale: float) -> Trainer:
    """Its loss is scaled as fp16's is, which a CPU does in fp32: what overflows there is a matter of the scale."""
    trainer = make_trainer(EPOCHS=1)
    trainer.run_step.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return trainer


def lines_of(folder: Path) -> list[dict]:
    return [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]


def test_one_overflowing_step(tmp_path: Path):
    """The loss is of all three steps, the gradient's norm of the two that were taken."""
    trainer = scaled_trainer(scale=2.0**124)  # a gradient of 2^3 and more overflows, half as much does not
    seen = run(trainer, MetricsWriter(RunFolder(tmp_path), first_epoch=0)).steps
    (line,) = lines_of(tmp_path)
    taken = [step["grad_norm"] for step in seen if "grad_norm" in step]
    assert len(seen) == 3
    assert line["skipped_steps"] == 3 - len(taken) > 0
    assert line["loss"] == pytest.approx(sum(step["loss"] for step in seen) / 3)
    assert line["grad_norm"] == pytest.approx(sum(taken) / len(taken))
    assert all(math.isfinite(value) for value in line.values())


def test_no_step_of_an_epoch_was_taken(tmp_path: Path):
    """There is no norm to tell of."""
    trainer = scaled_trainer(scale=2.0**127)
    trainer.run_step.scaler.set_backoff_factor(0.999)
    run(trainer, MetricsWriter(RunFolder(tmp_path), first_epoch=0))
    (line,) = lines_of(tmp_path)
    assert line["skipped_steps"] == 3
    assert "grad_norm" not in line


def test_an_epoch_without_overflow_says_nothing_of_it(tmp_path: Path):
    trainer = scaled_trainer(scale=1.0)
    run(trainer, MetricsWriter(RunFolder(tmp_path), first_epoch=0))
    assert "skipped_steps" not in lines_of(tmp_path)[0]


def test_gradients_that_no_scale_makes_finite():
    """They are the fault of something else: one line instead of a run that learns nothing."""
    trainer = scaled_trainer(scale=1e-3)
    trainer.num_epochs = 9
    trainer.task.trainable.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(
        FloatingPointError, match=r"gradients in fp16 are not finite up to step 4, 1 of epoch 2, however small .* bf16"
    ):
        trainer.train()


def test_resuming_within_such_an_epoch(tmp_path: Path):
    """The sums of the checkpoint know how many steps were left out."""
    whole, parts = scaled_trainer(scale=2.0**124), scaled_trainer(scale=2.0**124)
    (expected,) = run(whole).epochs
    run(parts, stop_at=2)
    continued = scaled_trainer(scale=1.0)
    continued.load_state(parts.state())
    assert run(continued).epochs == [expected]
