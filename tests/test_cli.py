"""The command line: what it prints, and that both launchers are one."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdvideo.cli import parse

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


@pytest.mark.parametrize("name", ["-x.avi", "-10 degrees.mp4"])
@pytest.mark.parametrize("before", [["predict"], ["predict", "y.avi"], ["data", "check"]])
def test_names_that_begin_with_a_dash(
    name: str, before: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """A shell's *.avi gives them; the message says what to write instead."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(SystemExit):
        parse([*before, name])
    assert capsys.readouterr().err.endswith(
        f"kdvideo: error: {name} is taken for an option: write ./{name} for the file of that name\n"
    )
    assert parse([*before, f"./{name}"]).command == before[0]
    assert parse(["predict", "--", name]).videos == [Path(name)]
