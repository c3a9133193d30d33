"""The table of versions: which Pythons and PyAVs it takes, what it says where one is missing, when it fails."""

import sys
from pathlib import Path

import matrix
import pytest

INDEX = "av (19.0.2)\nAvailable versions: 20.0.0, 19.0.2, 19.0.0, 18.1.0, 17.10.1, 17.9.0, 17.0\n  INSTALLED: 18.1.0\n"
PASSES = "def test_a():\n    pass\n"
FAILS = "import pytest\n\ndef test_b():\n    assert False\n\n@pytest.mark.slow\ndef test_c():\n    assert False\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the checkout: this Python's PyAV is placed there already, and there are two small tests."""
    monkeypatch.setattr(matrix, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(matrix, "allowed_av", lambda python: ["1.0", "1.1"])
    for av in ("1.0", "1.1"):
        (tmp_path / "output" / "av" / f"python{matrix.OWN_PYTHON}-{av}").mkdir(parents=True)
    (tmp_path / "test_good.py").write_text(PASSES)
    (tmp_path / "test_mixed.py").write_text(PASSES + FAILS)
    good, mixed = str(tmp_path / "test_good.py"), str(tmp_path / "test_mixed.py")
    monkeypatch.setattr(matrix, "PARTS", {"reading": (good,), "all": (good, mixed)})
    return tmp_path


def rows(capsys: pytest.CaptureFixture) -> list[list[str]]:
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    return [[value.strip() for value in line.split("|")[1:-1]] for line in lines[2:]]


@pytest.mark.slow
def test_one_cell(folder: Path, capsys: pytest.CaptureFixture):
    """The newest PyAV of one Python, its versions and counts; slow tests are left out."""
    arguments = ["--pythons", matrix.OWN_PYTHON, "--newest", "--processes", "1"]
    assert matrix.main([*arguments, "--only", "reading"]) == 0
    [row] = rows(capsys)
    assert row[0] == ".".join(map(str, sys.version_info[:3]))
    assert row[4:7] == ["1", "0", "0"]
    assert matrix.main(arguments) == 1
    [row] = rows(capsys)
    assert row[4:7] == ["2", "1", "0"]
    assert row[8].endswith("test_mixed::test_b")
    assert "assert False" in (folder / "output" / f"python{matrix.OWN_PYTHON}-av1.1.log").read_text()


def test_the_path_begins_with_the_chosen_pyav(folder: Path):
    """A PyAV that cannot be imported is a row, not the environment's own in its place."""
    place = folder / "output" / "av" / f"python{matrix.OWN_PYTHON}-1.0" / "av"
    place.mkdir()
    (place / "__init__.py").write_text("raise ImportError('another FFmpeg')")
    cell = matrix.run_cell(Path(sys.executable), matrix.OWN_PYTHON, "1.0", tests=(), processes=1)
    assert not cell.is_good
    assert cell.note == "ImportError: another FFmpeg"


def test_tests_that_take_the_process_with_them(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A crash is a row that names the log."""
    (folder / "test_crash.py").write_text("import os\n\ndef test_d():\n    os._exit(3)\n")
    tests = [str(folder / "test_crash.py")]
    cell = matrix.run_cell(Path(sys.executable), matrix.OWN_PYTHON, "1.0", tests=tests, processes=1)
    assert not cell.is_good
    assert cell.note.startswith("pytest ended early: see ")


def test_what_is_not_here_is_said(folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """Each missing Python, and where the newest one is that of the environment; no cell at all is a failure."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(matrix.Path, "home", lambda: folder)
    assert matrix.main(["--pythons", "3.99"]) == 1
    assert "Python 3.99 is left out: neither on the path nor in ~/.pyenv/versions" in capsys.readouterr().out
    arguments = ["--pythons", matrix.OWN_PYTHON, "3.99", "--newest", "--only", "reading", "--processes", "1"]
    assert matrix.main(arguments) == 0
    assert f"no Python is newer than the one that runs this, {matrix.OWN_PYTHON}" in capsys.readouterr().out


def test_a_launcher_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As pyenv's shims, which are on the path for Pythons that are not chosen."""
    shim, real = tmp_path / "shims" / "python3.99", tmp_path / ".pyenv" / "versions" / "3.99.1" / "bin" / "python3.99"
    for path, code in ((shim, 127), (real, 0)):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\nexit {code}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setattr(matrix.Path, "home", lambda: tmp_path)
    assert matrix.find_python("3.99") == real


def test_minor_versions_within_the_bounds():
    """By number, not by letter; of this checkout's setup.py as well."""
    assert matrix.minor_versions(INDEX, '"av>=17,<20",') == ["17.0", "17.9", "17.10", "18.1", "19.0"]
    assert matrix.minor_versions(INDEX, (matrix.REPOSITORY / "setup.py").read_text())
