"""`kdvideo data`: what it prints and how it fails."""

import shutil
from pathlib import Path

import pytest
import simplejson

from kdvideo.cli import main
from kdvideo.data.datasets.records import find_videos


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    shutil.copytree(tiny_dataset, folder)
    return folder


def test_check(root: Path, capsys: pytest.CaptureFixture):
    """All videos below a folder; with config keys, those that the dataset's lists name."""
    (root / "extra.avi").write_text("no video")
    assert main(["data", "check", str(root)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("videos    19\nusable    18\n")
    assert printed.endswith("problems  1\n  extra.avi: cannot be opened: Invalid data found when processing input\n")
    (root / "BallRoll/v_BallRoll_g01_c01.avi").unlink()
    assert main(["data", "check", str(root), "DATA.NAME", "ucf101"]) == 0
    assert capsys.readouterr().out.endswith("problems  1\n  BallRoll/v_BallRoll_g01_c01.avi: does not exist\n")


def test_prepare_then_check(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Proxies come checked; what has none is named."""
    (root / "BallRoll" / "extra.avi").write_text("no video")
    target = tmp_path / "proxies"
    for part in ("1/2", "2/2"):
        assert main(["data", "prepare", str(root), str(target), "--short-side", "32", "--part", part]) == 0
    capsys.readouterr()
    assert main(["data", "prepare", str(root), str(target), "--short-side", "32"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("18 proxies, 0.")
    assert first.endswith("1 videos without one")
    assert second.startswith("  BallRoll/extra.avi.mp4: no proxy, since BallRoll/extra.avi cannot be opened")
    lines = (target / "kdvideo-manifest.jsonl").read_text().splitlines()
    assert main(["data", "check", str(target)]) == 0
    assert capsys.readouterr().out.startswith("videos    18\nusable    18\n")
    assert [simplejson.loads(line) for line in lines] == [
        simplejson.loads(line) for line in (target / "kdvideo-manifest.jsonl").read_text().splitlines()
    ]


def test_subset(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """A list of one's own."""
    name = find_videos(root)[0]
    (tmp_path / "list.csv").write_text(f"file,class_number,subset,sha256\n{name},1,train,\n")
    target = tmp_path / "subset"
    assert main(["data", "subset", str(root), str(tmp_path / "list.csv"), str(target)]) == 0
    assert capsys.readouterr().out == f"1 videos in {target}\n"
    assert (target / name).read_bytes() == (root / name).read_bytes()


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "-1/2"])
def test_parts_that_are_none(root: Path, part: str, capsys: pytest.CaptureFixture):
    """Refused with an example."""
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", str(root), f"--part={part}"])
    assert stopped.value.code == 2
    assert "is no part: it must be I/N with I from 1 to N, e.g. 3/8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none"], "ROOT none is not a folder"),
        (["prepare", "none", "target"], "none is not a folder"),
        (["subset", "none", "nolist", "target"], "unknown subset list"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    """Exit code 2, no traceback."""
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"kdvideo: error: {message}")
    assert error.count("\n") == 1
