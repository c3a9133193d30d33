"""Other systems than Linux, as far as taking away what they lack can tell; and a TensorBoard that does not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MODEL = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
TAKE_AWAY = """
import multiprocessing, os, signal
for module, names in {absent!r}.items():
    for name in names:
        delattr({{"os": os, "signal": signal}}[module], name)
"""
ABSENT = {
    "macOS": {"os": ["posix_fallocate", "sched_getaffinity"], "signal": ["sigwaitinfo", "sigtimedwait"]},
    "Windows": {
        "os": ["posix_fallocate", "sched_getaffinity", "EX_TEMPFAIL", "getuid"],
        "signal": ["SIGUSR2", "SIGUSR1", "pthread_sigmask", "sigwaitinfo", "sigtimedwait", "sigwait"],
    },
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in whose processes the modules of `folder` come first."""
    path = os.pathsep.join([str(folder), *sys.path])
    command = [sys.executable, "-m", "kdvideo.cli", *arguments]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("system", ABSENT)
def test_a_system_without_what_linux_has(system: str, tiny_dataset: Path, tiny_overrides: list[str], tmp_path: Path):
    """Prediction and training with workers; nothing is printed by a worker that misses something."""
    (tmp_path / "sitecustomize.py").write_text(TAKE_AWAY.format(absent=ABSENT[system]))
    video = next(tiny_dataset.rglob("*.avi"))
    done = run(tmp_path, "predict", "--model", MODEL, str(video))
    assert done.returncode == 0, done.stderr
    overrides = [*tiny_overrides, "DATA.NUM_WORKERS", "1", "SOLVER.EPOCHS", "2"]
    done = run(tmp_path, "train", *overrides, "ZOO.PUBLISH_AS", "r3d_10_w4.pcl-vcp_tiny-s1")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "zoo" / "entries" / "r3d_10_w4.pcl-vcp_tiny-s1.json").is_file()


def test_a_tensorboard_that_does_not_import(tiny_overrides: list[str], tmp_path: Path):
    """As with another protobuf: training goes on without its files, and says so once; the doctor says it, too."""
    (tmp_path / "tensorboard").mkdir()
    broken = "raise TypeError('Descriptors cannot be created directly.\\nIf this call came from a _pb2.py file ...')"
    (tmp_path / "tensorboard" / "__init__.py").write_text(broken)
    done = run(tmp_path, "train", *tiny_overrides, "SOLVER.EPOCHS", "1")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "ensorboard does not import" in line]
    assert len(lines) == 1
    assert "(TypeError: Descriptors cannot be created directly.); to mend it: pip install --upgrade" in lines[0]
    assert "Traceback" not in done.stderr
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert "metrics.jsonl" in made
    assert "tensorboard" not in made
    shown = run(tmp_path, "doctor")
    assert shown.returncode == 0, shown.stderr
    assert "does not import (Descriptors cannot be created directly.)" in shown.stdout
