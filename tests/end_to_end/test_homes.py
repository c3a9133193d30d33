"""Users without a home."""

import pwd
from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.data.checking import manifest
from kdvideo.paths import kdvideo_home

MODEL = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for a container's user that is only a number."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "KDVIDEO_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))  # it would remove a folder of its own after pytest


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line in which a command ends."""
    assert main(arguments) != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdvideo: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("kdvideo: error: ")


def test_what_only_reads_needs_no_home(no_home: None, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]):
    """The packaged zoo is there, a home is empty."""
    assert not kdvideo_home().exists()
    video = next(tiny_dataset.rglob("*.avi"))
    for arguments in (["zoo", "list"], ["zoo", "show", MODEL], ["doctor"], ["predict", str(video)]):
        assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "it cannot be written: set KDVIDEO_HOME to a folder that can" in shown  # the doctor
    assert str(video) in shown


def test_a_run_needs_none_either(no_home: None, tiny_overrides: list[str], capsys: pytest.CaptureFixture[str]):
    """What would be kept for the next one is not, and is said once."""
    manifest._tell_once.cache_clear()
    assert main(["train", *tiny_overrides, "SOLVER.EPOCHS", "1"]) == 0
    kept = "cannot be kept for the next run: this user has no home to keep files in: set KDVIDEO_HOME to a folder"
    assert capsys.readouterr().err.count(kept) == 1


def test_what_has_to_be_kept_says_where_to(no_home: None, tiny_overrides: list[str], capsys, tmp_path: Path):
    """A publication, a file that is fetched, a path that begins with ~."""
    publish = [*tiny_overrides[:4], *tiny_overrides[6:], "ZOO.PUBLISH_AS", "r3d_w4.pcl-vcp_x-s1"]
    assert "set ZOO.DIR or KDVIDEO_HOME to a folder" in error_of(capsys, "train", *publish)
    assert error_of(capsys, "zoo", "fetch", "x3d_xs.pytorchvideo_k400") == (
        "Not a directory: this user has no home to keep files in: set KDVIDEO_HOME to a folder that can be written"
    )


@pytest.mark.parametrize("path", ["~/x", "~nobody-of-this-name/x"])
def test_a_home_that_nobody_knows(no_home: None, path: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """One line with the path, wherever it is given."""
    from kdvideo.paths import expand_user

    with pytest.raises(ValueError, match=f"^{path}: the system knows no home for this ~: write the whole path"):
        expand_user(path)
    assert error_of(capsys, "train", "DATA.ROOT", path, "OUTPUT_DIR", str(tmp_path / "run")).startswith(f"{path}: the")
    assert error_of(capsys, "data", "check", path).startswith(f"{path}: the")
