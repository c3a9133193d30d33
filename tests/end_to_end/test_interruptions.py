"""Runs that are stopped, or find their newest checkpoint damaged, and end as if nothing had happened."""

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import simplejson
import torch

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import RunResult, train
from kdvideo.engine.run_folder import METRICS_NAME, RunFolder
from kdvideo.engine.stop import Preempted, stop_signals


def run(overrides: list[str], *extra: str, **kwargs):
    return train(load_config(None, [*overrides, *extra]), **kwargs)


def metrics_lines(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_same(one: RunResult, other: RunResult) -> None:
    assert metrics_lines(one.output_dir) == metrics_lines(other.output_dir)
    for (key, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_a_signal_stops_between_two_steps(tiny_overrides: list[str], tmp_path: Path, capsys, monkeypatch):
    """SIGTERM to the run and its workers: exit code 75 and what to do; resumed within the epoch, it ends the same."""

    def signal_all(trainer, scalars):
        if trainer.step == 3:
            processes = (*multiprocessing.active_children(), multiprocessing.current_process())
            subprocess.run(["kill", "-TERM", *(str(process.pid) for process in processes)], check=True)
            while not trainer.should_stop():  # the system may hand the signal to another thread, which is slow to wake
                time.sleep(0.001)

    common = [*tiny_overrides, "SOLVER.BATCH_SIZE", "3", "DATA.NUM_WORKERS", "2", "CONTRAST.NAME", "queue_nce"]
    whole = run(common, "OUTPUT_DIR", str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr("kdvideo.engine.hooks.Progress.after_step", lambda self, *arguments: signal_all(*arguments))
        assert main(["train", *common]) == os.EX_TEMPFAIL == 75
    error = capsys.readouterr().err
    assert "kdvideo: stopped after step 3, 3 of epoch 1; continue with --resume" in error
    assert not (tmp_path / "run" / METRICS_NAME).exists()
    continued = run(common, resume=True)
    assert "resumed after epoch 0 and 3 steps" in (tmp_path / "run" / "log.txt").read_text()
    assert_same(continued, whole)


def test_a_damaged_checkpoint_costs_an_epoch(tiny_overrides: list[str], tmp_path: Path, caplog):
    """The one before it is used, loudly; the line of the lost epoch is written again, not twice."""
    common = [*tiny_overrides, "SOLVER.EPOCHS", "3"]
    whole = run(common, "OUTPUT_DIR", str(tmp_path / "whole"))
    run(common)
    newest, before = RunFolder(tmp_path / "run").checkpoints()
    assert (read_state(newest)["epoch"], read_state(before)["epoch"]) == (3, 2)
    newest.write_bytes(newest.read_bytes()[:-1000])
    continued = run(common, resume=True)
    assert f"{newest} cannot be read as a checkpoint (BadZipFile: " in caplog.text
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"{newest} cannot be read" in log
    assert "resumed after epoch 2 and 0 steps" in log
    assert_same(continued, whole)
    assert [line["epoch"] for line in metrics_lines(tmp_path / "run")] == [1, 2, 3, 3]


def test_older_checkpoints_can_be_measured_too(tiny_overrides: list[str], tmp_path: Path, capsys):
    """By their path, as any weights; a damaged one is refused instead of measured."""
    run(tiny_overrides)
    newest, before = RunFolder(tmp_path / "run").checkpoints()
    first_epoch = metrics_lines(tmp_path / "run")[0]
    measured = evaluate(load_config(None, [*tiny_overrides, "MODEL.WEIGHTS", str(before)])).metrics
    assert measured["pretext_accuracy"] == first_epoch["pretext_accuracy"]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert main(["train", "--eval-only", *tiny_overrides]) == 2
    assert "has another checksum than when it was written" in capsys.readouterr().err


ALL_LOSSES = "['logit_distillation', 'embedding_distillation', 'similarity_distillation']"
DISTILL = "TASK.NAME distill TEACHER.WEIGHTS own.teacher TEACHER.LOSS_WEIGHTS [1.0,1.0,1.0]"
SUPERVISED = "TASK.NAME supervised DATA.VALIDATION_SHARE 0.5 SOLVER.BATCH_SIZE 2 SOLVER.SCHEDULE plateau"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([*DISTILL.split(), "TEACHER.LOSSES", ALL_LOSSES], id="distill"),
        pytest.param([*SUPERVISED.split(), "SOLVER.OPTIMIZER", "adamw", "SOLVER.BASE_LR", "0.001"], id="supervised"),
        pytest.param(["DATA.AUGMENT_ON", "device", "SOLVER.BATCH_SIZE", "4", "SOLVER.ACCUMULATE", "2"], id="device"),
    ],
)
def test_whatever_is_trained_goes_on_within_an_epoch(
    tiny_overrides: list[str], tmp_path: Path, monkeypatch, options: list[str]
):
    """Banks, anchors, adapter, AdamW's moments, plateau: stopped by SIGUSR2 in the second epoch, no line differs."""
    if "distill" in options:
        run(tiny_overrides, "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "own.teacher", "OUTPUT_DIR", str(tmp_path / "own"))
    common = [*tiny_overrides, "SOLVER.BATCH_SIZE", "3", *options]
    whole = run(common, "OUTPUT_DIR", str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "kdvideo.engine.hooks.Progress.after_step",
            lambda self, trainer, scalars: trainer.step == 5 and signal.raise_signal(signal.SIGUSR2),
        )
        with pytest.raises(Preempted):
            run(common, stopping=stop_signals)
    state = read_state(tmp_path / "run" / "checkpoint.pt")
    assert (state["epoch"], state["step"]) == (1, 5)
    assert_same(run(common, resume=True), whole)
