"""Hooks: when they evaluate and save, and what they write."""

import operator
from pathlib import Path

import simplejson
import torch
from toy_trainer import Measured, make_trainer, run

from kdvideo.engine.checkpoint import load_checkpoint
from kdvideo.engine.hooks import Checkpointer, EpochEvaluation, KeepBest, MetricsWriter
from kdvideo.engine.run_folder import BEST_NAME, METRICS_NAME, RunFolder
from kdvideo.engine.trainer import Hook


def test_checkpoint_period(tmp_path: Path):
    """In steps of the whole run, and after every epoch."""
    saved: list[tuple[int, int, int]] = []

    class Seen(Hook):
        def after_step(self, trainer, scalars):
            if list(tmp_path.glob("*.pt")):
                state = load_checkpoint(RunFolder(tmp_path))
                found = state["step"], state["epoch"], state["epoch_step"]
                saved.extend([found] if found not in saved else [])

        def after_epoch(self, trainer, metrics):
            self.after_step(trainer, metrics)

    run(make_trainer(), Checkpointer(RunFolder(tmp_path), period=2, max_to_keep=2, extra={}), Seen())
    assert saved == [(2, 0, 2), (3, 1, 0), (4, 1, 1), (6, 1, 3), (6, 2, 0), (8, 2, 2), (9, 3, 0)]


def test_a_checkpoint_after_every_second_and_the_last_epoch(tmp_path: Path):
    saved: dict[int, int] = {}

    class Seen(Hook):
        def after_epoch(self, trainer, metrics):
            saved[trainer.epoch] = load_checkpoint(RunFolder(tmp_path))["epoch"] if any(tmp_path.glob("*.pt")) else 0

    checkpointer = Checkpointer(RunFolder(tmp_path), epochs=2, period=0, max_to_keep=2, extra={})
    run(make_trainer(), checkpointer, Seen())
    assert saved == {1: 0, 2: 2, 3: 3}


def test_the_best_epoch_is_kept(tmp_path: Path):
    """The lowest, and the latest of equals; a new run forgets what a dead one left; a resumed one does not."""
    (tmp_path / BEST_NAME).write_bytes(b"of a run that died in its first epoch")
    trainer, keep = make_trainer(EPOCHS=4), KeepBest(tmp_path / BEST_NAME, "accuracy", extra={})
    known, weights = [], {}

    class Seen(Hook):
        def before_epoch(self, trainer):
            known.append(keep.read())

        def after_epoch(self, trainer, metrics):
            weights[trainer.epoch] = trainer.task.student.state_dict()["weight"].clone()

    run(trainer, Measured(0.7, 0.2, 0.2, 0.6), keep, Seen())
    assert known[0] is None
    resumed = KeepBest(tmp_path / BEST_NAME, "accuracy", extra={})
    resumed.before_epoch(trainer)
    best = resumed.read()
    assert (best["epoch"], best["value"]) == (3, 0.2)
    assert torch.equal(best["student"]["weight"], weights[3])


def test_another_rule_and_another_metric(tmp_path: Path):
    """The earliest of the highest, as in earlier versions; a file that another metric has chosen is replaced."""
    path = tmp_path / BEST_NAME
    highest = KeepBest(path, "accuracy", extra={}, replaces=operator.gt)
    run(make_trainer(EPOCHS=4), Measured(0.2, 0.6, 0.6, 0.1), highest)
    assert (highest.read()["epoch"], highest.read()["value"]) == (2, 0.6)
    trainer = make_trainer(EPOCHS=1)
    trainer.epoch = 4
    KeepBest(path, "loss", extra={}).after_epoch(trainer, {"loss": 9.0})
    assert (highest.read()["epoch"], highest.read()["value"]) == (4, 9.0)


def test_evaluation_period():
    """Every second epoch, and the last one."""
    seen = []
    trainer = make_trainer(EPOCHS=5)
    run(trainer, EpochEvaluation(lambda: seen.append(trainer.epoch) or {}, period=2))
    assert seen == [2, 4, 5]


def test_metrics_lines_after_a_kill(tmp_path: Path):
    """Lines after the checkpoint's epoch, the final one and a line cut short are dropped: they are written again."""
    path = tmp_path / METRICS_NAME
    lines = [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}, {"epoch": 2, "final": True}]
    path.write_text("".join(simplejson.dumps(line) + "\n" for line in lines) + '{"epoch": 2, "lo')
    MetricsWriter(RunFolder(tmp_path), first_epoch=2).close()
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
