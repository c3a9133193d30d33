"""A run that is killed, not asked, at any moment, and continued."""

import random
import signal
import statistics
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


def count_lines(folder: Path) -> int:
    path = folder / METRICS_NAME
    return path.read_text().count("\n") if path.exists() else 0


def test_killed_runs_write_the_same_lines(tiny_overrides: list[str], tmp_path: Path):
    """SIGKILL at four seeded moments within and between epochs, then --resume: the uninterrupted run's metrics."""
    common = [*tiny_overrides, "SOLVER.EPOCHS", "40"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start([*common, "OUTPUT_DIR", str(whole)]).wait() == 0
    epoch_seconds = statistics.median(
        simplejson.loads(line)["seconds"] for line in (whole / METRICS_NAME).read_text().splitlines()[:-1]
    )
    moments = random.Random(0)
    for _ in range(4):
        flags = ["--resume"] if (parts / "checkpoint.pt").exists() else []
        written = count_lines(parts)
        process = start([*common, "OUTPUT_DIR", str(parts)], *flags)
        while count_lines(parts) <= written:  # a resumed run may first drop a line
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 2.0) * epoch_seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert start([*common, "OUTPUT_DIR", str(parts)], "--resume").wait() == 0
    assert metrics_lines(parts) == metrics_lines(whole)
