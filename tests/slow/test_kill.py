"""A run that is killed, not asked, at any moment, and continued."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejson

from kdvideo.engine.hooks import METRICS_NAME

pytestmark = pytest.mark.slow


def start(overrides: list[str], *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "kdvideo.cli", "train", *flags, *overrides]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def metrics_lines(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_killed_runs_write_the_same_lines(tiny_overrides: list[str], tmp_path: Path):
    """SIGKILL at three seeded moments behind the first checkpoint, then --resume: the uninterrupted run's metrics."""
    common = [*tiny_overrides, "SOLVER.EPOCHS", "12"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start([*common, "OUTPUT_DIR", str(whole)]).wait() == 0
    moments = random.Random(0)
    flags: list[str] = []
    for _ in range(3):
        process = start([*common, "OUTPUT_DIR", str(parts)], *flags)
        while not (parts / "checkpoint.pt").exists():
            time.sleep(0.05)
            assert process.poll() is None
        time.sleep(moments.uniform(0.0, 8.0))  # the resumed process needs about six seconds to start
        process.send_signal(signal.SIGKILL)
        process.wait()
        flags = ["--resume"]
    assert start([*common, "OUTPUT_DIR", str(parts)], "--resume").wait() == 0
    assert metrics_lines(parts) == metrics_lines(whole)
