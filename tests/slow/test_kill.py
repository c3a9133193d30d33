"""A run that is killed, not asked, at any moment, and continued."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejson
import torch

from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.run_folder import CHECKPOINT_NAME, METRICS_NAME, RunFolder

pytestmark = pytest.mark.slow

NUM_KILLS, NUM_STEPS = 20, 160


def start(overrides: list[str], *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "kdvideo.cli", "train", *flags, *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def metrics_lines(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def assert_equal(one: object, other: object) -> None:
    """Bit for bit, however nested."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_equal(value, other[key])
    elif isinstance(one, list | tuple):
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        assert one == other


def version_of(checkpoint: Path) -> int:
    return checkpoint.stat().st_ino if checkpoint.exists() else 0


def wait_for_checkpoints(process: subprocess.Popen, folder: Path, count: int) -> None:
    """Returns when the run has replaced its checkpoint `count` times."""
    seen = version_of(folder / CHECKPOINT_NAME)
    while count:
        assert process.poll() is None
        if (now := version_of(folder / CHECKPOINT_NAME)) != seen:
            seen, count = now, count - 1
        time.sleep(0.001)


def stop_within_a_write(process: subprocess.Popen, folder: Path) -> None:
    """Returns when the process stands still between beginning a checkpoint and giving it its name."""
    while True:
        assert process.poll() is None
        if any(folder.glob(".checkpoint.pt.*.tmp")):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            if any(folder.glob(".checkpoint.pt.*.tmp")):
                return
            process.send_signal(signal.SIGCONT)


def test_killed_runs_end_with_the_same_weights(tiny_overrides: list[str], tmp_path: Path):
    """SIGKILL at 20 seeded moments, every third within the write of a checkpoint, and --resume each time.

    With a checkpoint every second step, many of them lie within an epoch. What is compared is all of the last
    checkpoint (weights, optimizer, memory banks) and every line of metrics but its time.
    """
    common = [*tiny_overrides, "SOLVER.EPOCHS", str(NUM_STEPS // 4), "SOLVER.BATCH_SIZE", "3", "EVAL.PERIOD", "10"]
    common += ["SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.SCHEDULE", "one_cycle"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start([*common, "OUTPUT_DIR", str(whole)]).wait() == 0
    moments = random.Random(0)
    steps = []
    for number in range(NUM_KILLS):
        process = start([*common, "OUTPUT_DIR", str(parts)], *(["--resume"] if number else []))
        wait_for_checkpoints(process, parts, moments.randint(1, 3))
        if number % 3 == 0:
            stop_within_a_write(process, parts)
        else:
            time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        steps.append(read_state(RunFolder(parts).checkpoints()[0])["epoch_step"])
    assert sum(step > 0 for step in steps) > NUM_KILLS // 3  # of 4 steps, 2 and 4 are saved, and 0 with the evaluation
    assert start([*common, "OUTPUT_DIR", str(parts)], "--resume").wait() == 0
    assert metrics_lines(parts) == metrics_lines(whole)
    assert_equal(read_state(parts / CHECKPOINT_NAME), {**read_state(whole / CHECKPOINT_NAME), "config": _config(parts)})
    assert not list(parts.glob(".*.tmp"))


def _config(folder: Path) -> str:
    """It names OUTPUT_DIR, which differs."""
    return read_state(folder / CHECKPOINT_NAME)["config"]
