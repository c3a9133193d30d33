"""The loop: its order, its steps, and going on from any of them."""

from pathlib import Path

import pytest
import torch
from toy_trainer import make_trainer, run

from kdvideo.engine.checkpoint import load_checkpoint, save_checkpoint
from kdvideo.engine.hooks import Checkpointer
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook


class _Recorder(Hook):
    def __init__(self) -> None:
        self.events: list = []

    def before_epoch(self, trainer):
        self.events.append(("epoch", trainer.epoch))

    def after_step(self, trainer, scalars):
        self.events.append(("step", trainer.step, scalars["epoch_seen"]))

    def after_epoch(self, trainer, metrics):
        self.events.append(("end", trainer.epoch, metrics["step"]))

    def close(self):
        self.events.append("close")


def test_loop_and_hooks():
    """Three steps an epoch, each on that epoch's samples; hooks see all of it; the task is learned."""
    trainer = make_trainer()
    recorder = _Recorder()
    trainer.train([recorder])
    epochs = [event for event in recorder.events if event[0] in ("epoch", "end")]
    assert epochs == [("epoch", 0), ("end", 1, 3), ("epoch", 1), ("end", 2, 6), ("epoch", 2), ("end", 3, 9)]
    steps = [event for event in recorder.events if event[0] == "step"]
    assert steps == [("step", i + 1, float(i // 3)) for i in range(9)]
    assert recorder.events[-1] == "close"
    assert abs(trainer.task.trainable.weight.item() - 2) < 1.0


def test_hooks_are_closed_after_an_error():
    """Also when a hook fails."""

    class Failing(Hook):
        def after_epoch(self, trainer, metrics):
            raise OSError("disk full")

    trainer = make_trainer()
    recorder = _Recorder()
    with pytest.raises(OSError, match="disk full"):
        trainer.train([Failing(), recorder])
    assert recorder.events[-1] == "close"


def test_infinite_loss_stops_with_its_parts():
    """Before the step that would spoil the weights."""
    trainer = make_trainer()
    trainer.task.trainable.weight.data.fill_(float("inf"))
    with pytest.raises(
        FloatingPointError, match=r"is not finite at step 1, 1 of epoch 1 \(loss .*lower SOLVER.BASE_LR"
    ):
        trainer.train()


@pytest.mark.parametrize("spoilt", ["loss", "gradient"])
def test_a_step_that_is_not_finite_leaves_the_weights(spoilt: str):
    """Whoever catches the error has those of the step before."""
    trainer, weights = make_trainer(), []

    class Spoil(Hook):
        def after_step(self, trainer, scalars):
            weight = trainer.task.trainable.weight
            weights.append(weight.item())
            if trainer.step == 4 and spoilt == "gradient":
                weight.register_hook(lambda gradient: gradient * torch.nan)
            elif trainer.step == 4:
                trainer.task.register_forward_hook(lambda *given: {**given[2], "loss": given[2]["loss"] * torch.inf})

    with pytest.raises(FloatingPointError, match="not finite at step 5"):
        trainer.train([Spoil()])
    assert trainer.task.trainable.weight.item() == weights[3]


def test_a_number_of_shape_one():
    """A task may return `[1]` where it means `[]`."""
    trainer, expected = make_trainer(), run(make_trainer()).epochs
    trainer.task.register_forward_hook(
        lambda *given: {name: value[None] if name == "epoch_seen" else value for name, value in given[2].items()}
    )
    assert run(trainer).epochs == expected


def test_gradient_clipping():
    """The whole gradient's norm, at momentum 0: the first step is rate times norm."""
    trainer = make_trainer(CLIP_GRADIENTS=0.5, MOMENTUM=0.0, WEIGHT_DECAY=0.0)
    first = run(trainer).steps[0]
    assert first["grad_norm"] > 0.5
    assert first["weight"] == pytest.approx(0.01 * 0.5, rel=1e-4)


def test_a_batch_in_parts_gives_the_same_step():
    """Two parts of one sample each instead of both at once: the mean of their gradients, means of what is logged."""
    whole, parts = make_trainer(), make_trainer(ACCUMULATE=2)
    at_once, in_parts = run(whole), run(parts)
    assert len(at_once.steps) == len(in_parts.steps) == 9
    for one, other in zip(at_once.steps, in_parts.steps, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert parts.step == 9


@pytest.mark.parametrize("stop_at", range(1, 10))
def test_stopping_after_any_step_changes_nothing(tmp_path: Path, stop_at: int):
    """A third of the steps end an epoch: the epochs' lines, random draws among them, and the weight are the same."""
    whole, first, second = (make_trainer(SCHEDULE="one_cycle") for _ in range(3))
    for trainer in (whole, first, second):
        trainer.task.noise = 0.1
    lines = run(whole).epochs
    stopped = run(first, Checkpointer(RunFolder(tmp_path), period=0, max_to_keep=2, extra={}), stop_at=stop_at)
    torch.rand(stop_at)  # what else the resuming process draws does not matter
    second.load_state(load_checkpoint(RunFolder(tmp_path)))
    assert stopped.epochs + run(second).epochs == lines
    assert second.state()["student"] == whole.state()["student"]
    assert second.step == 9


def test_state_between_two_epochs(tmp_path: Path):
    """Weights, momentum, epoch and step: the next epoch is the same after loading."""

    class SaveFirst(Hook):
        def after_epoch(self, trainer, metrics):
            if trainer.epoch == 1:
                save_checkpoint(RunFolder(tmp_path), trainer.state(), max_to_keep=1)

    lines = run(make_trainer(EPOCHS=2), SaveFirst()).epochs
    other = make_trainer(EPOCHS=2)
    other.load_state(load_checkpoint(RunFolder(tmp_path)))
    assert other.epoch == 1
    assert run(other).epochs == lines[1:]


def test_another_number_of_videos_is_another_run():
    """The order of the samples would be another one."""
    trainer = make_trainer()
    with pytest.raises(ValueError, match="--resume: the run was started on 5 videos, now there are 6"):
        trainer.load_state({**trainer.state(), "num_samples": 5})
