"""Trainer, schedule, checkpoints and metrics files."""

from pathlib import Path

import pytest
import simplejson
import torch
from toy_trainer import make_trainer

from kdvideo.engine.checkpoint import load_checkpoint, save_checkpoint
from kdvideo.engine.hooks import Checkpointer, Evaluation, MetricsWriter
from kdvideo.engine.run_folder import METRICS_NAME, RunFolder
from kdvideo.engine.stop import Preempted
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
    trainer.hooks = (recorder,)
    trainer.train()
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
    trainer.hooks = (Failing(), recorder)
    with pytest.raises(OSError, match="disk full"):
        trainer.train()
    assert recorder.events[-1] == "close"


def test_infinite_loss_stops_with_its_parts():
    """Before the step that would spoil the weights."""
    trainer = make_trainer()
    trainer.task.trainable.weight.data.fill_(float("inf"))
    with pytest.raises(
        FloatingPointError, match=r"is not finite at step 1, 1 of epoch 1 \(loss .*lower SOLVER.BASE_LR"
    ):
        trainer.train()


def test_gradient_clipping():
    """The whole gradient's norm, at momentum 0: the first step is rate times norm."""
    trainer = make_trainer(CLIP_GRADIENTS=0.5, MOMENTUM=0.0, WEIGHT_DECAY=0.0)
    trainer._train_step({"x": torch.tensor([[3.0]]), "epoch": torch.tensor([0])})
    assert trainer.task.trainable.weight.item() == pytest.approx(0.01 * 0.5, rel=1e-4)


def test_a_batch_in_parts_gives_the_same_step():
    """Two parts of two instead of four at once: the mean of their gradients, one step, means of what is logged."""
    batch = {"x": torch.tensor([[1.0], [2.0], [3.0], [4.0]]), "epoch": torch.tensor([0, 0, 1, 1])}
    whole, parts = make_trainer(), make_trainer(ACCUMULATE=2)
    logged = [trainer._train_step(batch) for trainer in (whole, parts)]
    assert logged[0] == pytest.approx(logged[1], rel=1e-6)
    assert logged[0]["epoch_seen"] == 0.5
    assert parts.step == 1
    torch.testing.assert_close(whole.task.trainable.weight, parts.task.trainable.weight)


def test_state_round_trip(tmp_path: Path):
    """Weights, momentum, epoch and step: the next epoch is the same after loading."""
    trainer = make_trainer(EPOCHS=2)
    first = trainer._train_epoch()
    save_checkpoint(RunFolder(tmp_path), trainer.state(), max_to_keep=1)
    other = make_trainer(EPOCHS=2)
    other.load_state(load_checkpoint(RunFolder(tmp_path)))
    assert first["epoch"] == other.epoch == 1
    assert trainer._train_epoch() == other._train_epoch()


@pytest.mark.parametrize("stop_at", range(1, 10))
def test_stopping_after_any_step_changes_nothing(tmp_path: Path, stop_at: int):
    """A third of the steps end an epoch: the epochs' lines, random draws among them, and the weight are the same."""
    whole, first, second = (make_trainer(SCHEDULE="one_cycle") for _ in range(3))
    for trainer in (whole, first, second):
        trainer.task.noise = 0.1
    lines, parts = [], []
    whole.hooks = (_Lines(lines),)
    whole.train()
    first.hooks = (_Lines(parts), Checkpointer(RunFolder(tmp_path), period=0, max_to_keep=2, extra={}))
    first.should_stop = lambda: first.step == stop_at
    with pytest.raises(Preempted, match=f"stopped after step {stop_at}, {(stop_at - 1) % 3 + 1} of epoch"):
        first.train()
    torch.rand(stop_at)  # what else the resuming process draws does not matter
    second.load_state(load_checkpoint(RunFolder(tmp_path)))
    second.hooks = (_Lines(parts),)
    second.train()
    assert parts == lines
    assert second.state()["student"] == whole.state()["student"]
    assert second.step == 9


class _Lines(Hook):
    def __init__(self, lines: list) -> None:
        self.lines = lines

    def after_epoch(self, trainer, metrics):
        self.lines.append(metrics)


def test_checkpoint_period(tmp_path: Path):
    """In steps of the whole run, and after every epoch."""
    saved = []

    class Spy(Checkpointer):
        def _save(self, trainer):
            saved.append((trainer.step, trainer.epoch, trainer.epoch_step))

    trainer = make_trainer()
    trainer.hooks = (Spy(tmp_path, period=2, max_to_keep=2, extra={}),)
    trainer.train()
    assert saved == [(2, 0, 2), (3, 1, 0), (4, 1, 1), (6, 1, 3), (6, 2, 0), (8, 2, 2), (9, 3, 0)]


def test_another_number_of_videos_is_another_run():
    """The order of the samples would be another one."""
    trainer = make_trainer()
    with pytest.raises(ValueError, match="--resume: the run was started on 5 videos, now there are 6"):
        trainer.load_state({**trainer.state(), "num_samples": 5})


def test_evaluation_period():
    """Every second epoch, and the last one."""
    seen = []
    trainer = make_trainer(EPOCHS=5)
    trainer.hooks = (Evaluation(lambda: seen.append(trainer.epoch) or {}, period=2),)
    trainer.train()
    assert seen == [2, 4, 5]


def test_metrics_lines_after_a_kill(tmp_path: Path):
    """Lines after the checkpoint's epoch, the final one and a line cut short are dropped: they are written again."""
    path = tmp_path / METRICS_NAME
    lines = [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}, {"epoch": 2, "final": True}]
    path.write_text("".join(simplejson.dumps(line) + "\n" for line in lines) + '{"epoch": 2, "lo')
    MetricsWriter(RunFolder(tmp_path), first_epoch=2).close()
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
