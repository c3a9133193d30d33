"""Checking a folder of odd files with the command."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simplejson

from kdvideo.data.datasets.records import find_videos

pytestmark = pytest.mark.slow


def test_odd_files(real_data: Path, tmp_path: Path):
    """80 broken and odd files: each gives frames or is named with one line; none crashes its reader or hangs."""
    folder = tmp_path / "weird"
    shutil.copytree(real_data / "weird", folder)
    command = [sys.executable, "-m", "kdvideo.cli", "data", "check", str(folder), "--time-limit", "60"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    summary = simplejson.loads((folder / "kdvideo-manifest.summary.json").read_text())
    assert summary["videos"] == len(find_videos(folder)) == 80
    reasons = summary["problems"]
    assert 10 <= len(reasons) <= 20
    assert printed[-len(reasons) :] == [f"  {path}: {reason}" for path, reason in reasons.items()]
    assert all("\n" not in reason and "longer" not in reason and "crash" not in reason for reason in reasons.values())
