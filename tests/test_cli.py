"""The command line: what it prints, and that both launchers are one."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdvideo.cli import doctor, main, parse

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


class _Interrupting(io.BytesIO):
    """A file in whose writing somebody presses Ctrl-C."""

    writes = 0

    def write(self, data: object) -> int:
        self.writes += 1
        if self.writes == 3:  # the first is let through by torch, the later ones are not
            raise KeyboardInterrupt
        return 1


def test_an_interruption_while_a_file_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """torch.save answers with an error of its own, "unexpected pos"; it is an interruption all the same."""
    monkeypatch.setattr(doctor, "_run", lambda _: torch.save({"a": torch.zeros(99)}, _Interrupting()))
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "kdvideo: interrupted\n"


def test_other_errors_of_torch_are_no_interruption(monkeypatch: pytest.MonkeyPatch):
    """A fault of kdvideo's own stays visible."""

    def fail(_: object) -> None:
        raise RuntimeError("of our own") from ValueError()

    monkeypatch.setattr(doctor, "_run", fail)
    with pytest.raises(RuntimeError, match="of our own"):
        main(["doctor"])
