"""The command line: what it prints, and that both launchers are one."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("command", [["tools/train_net.py"], ["-m", "kdvideo.cli", "train"]])
def test_both_launchers(command: list[str]):
    """One line and exit code 2 for a mistake, no traceback."""
    done = subprocess.run(
        [sys.executable, *command, "SOLVER.EPOCHS", "x"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "kdvideo: error: SOLVER.EPOCHS is 'x' of type str; it must be of type int\n"
    assert done.stdout == ""


def test_import_is_quiet_and_light():
    """`import kdvideo` loads nothing of torch, prints nothing and has its public names."""
    script = (
        "import sys, kdvideo\n"
        "assert 'torch' not in sys.modules\n"
        "assert all(hasattr(kdvideo, name) for name in kdvideo.__all__)\n"
        "assert not hasattr(kdvideo, 'no_such_name')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
