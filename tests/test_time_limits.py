"""Seconds that a video may take: set for every command, remembered with what they found, named where they are over."""

import re
from pathlib import Path

import pytest
import simplejson

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.checking.check import check_dataset, usable_videos
from kdvideo.data.checking.manifest import MANIFEST_NAME, read_manifest
from kdvideo.data.datasets import ucf101
from kdvideo.data.datasets.records import find_videos
from kdvideo.data.readers.outage import LostVideoError
from kdvideo.data.resize import CENTER
from kdvideo.data.videos import VideoList, join_lists
from kdvideo.engine.launch import train

NEVER = 1e-9
ADVICE = "raise the limit by --time-limit, for training and evaluation by DATA.TIME_LIMIT"
OVER = rf"takes longer than 1e-09 s to (open|decode): {re.escape(ADVICE)}"  # whichever notices first


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The tiny dataset in a folder that can get a manifest; its videos are links."""
    folder = tmp_path / "dataset"
    for path in sorted(tiny_dataset.rglob("*.*")):
        link = folder / path.relative_to(tiny_dataset)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return folder


def usable(root: Path, *, time_limit: float, **options) -> VideoList:
    records = ucf101(root, split=1, subset="train")
    return usable_videos(records, root, num_workers=2, time_limit=time_limit, **{"max_bad_fraction": 0.0, **options})


def test_what_was_given_up_is_looked_at_again_with_more_time(root: Path):
    """By check and by training; with less, it is known that it is not enough."""
    names = find_videos(root)
    checked = check_dataset(root, names, num_workers=2, time_limit=NEVER)
    assert all(re.fullmatch(OVER, entry.probe.problem) for entry in checked.values())
    with pytest.raises(ValueError, match=rf"12 of 12 videos .* {OVER}"):
        usable(root, time_limit=NEVER)
    assert len(usable(root, time_limit=60.0)) == 12
    checked = check_dataset(root, names, num_workers=2, time_limit=900.0)
    assert {(entry.probe.problem, entry.time_limit) for entry in checked.values()} == {(None, 900.0)}
    assert read_manifest(root / MANIFEST_NAME) == checked


def test_the_checks_limit_holds_for_training(root: Path, tiny_overrides: list[str]):
    """A check that gave a video more time than DATA.TIME_LIMIT does: the run reads it with that."""
    assert main(["data", "check", str(root), "--time-limit", "900"]) == 0
    assert usable(root, time_limit=120.0).time_limit == 900.0
    assert usable(root, time_limit=1200.0).time_limit == 1200.0
    overrides = [*tiny_overrides, "DATA.ROOT", str(root), "DATA.TIME_LIMIT", str(NEVER), "SOLVER.EPOCHS", "1"]
    assert train(load_config(None, overrides)).output_dir.is_dir()


def test_a_manifest_that_does_not_say(root: Path):
    """Of an older version: what it could read it could read, what it could not is looked at again."""
    check_dataset(root, find_videos(root), num_workers=2, time_limit=900.0)
    manifest = root / MANIFEST_NAME
    lines = [simplejson.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        del line["time_limit"]
    lines[0]["problem"] = "takes longer than 120 s to decode"
    manifest.write_text("".join(f"{simplejson.dumps(line)}\n" for line in lines))
    videos = usable(root, time_limit=60.0)
    assert (len(videos), videos.time_limit) == (12, 60.0)


def test_what_reads_names_the_limit(tiny_dataset: Path):
    """And does not send anybody to look for the folder; parts and joined lists keep the limit."""
    records = ucf101(tiny_dataset, split=1, subset="train")
    videos = VideoList(records, [64] * 12, time_limit=NEVER)
    options = {"short_side": 36, "size": 32}
    for read in (
        lambda: videos.read_clips(0, [(0, 9)], places=[CENTER], **options),
        lambda: videos.read_views(0, [(0, 9)], num_crops=1, **options),
    ):
        with pytest.raises(LostVideoError, match=rf"^video {records[0].path} {OVER}$"):
            read()
    assert videos.subset([1]).time_limit == videos.only(records[:3]).time_limit == NEVER
    assert join_lists([videos, VideoList(records, [64] * 12, time_limit=7.0)]).time_limit == 7.0


def test_every_command(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog):
    """The file's problem, which says what to raise."""
    videos = tiny_dataset / "BallRoll"
    limit, out = ["--time-limit", str(NEVER)], ["--out", str(tmp_path / "t.parquet")]
    assert main(["predict", str(videos), *limit]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(re.search(f": {OVER}$", line) for line in lines)
    assert main(["embed", str(videos), *out, *limit]) == 0
    assert ": 3 videos, 3 without a feature" in capsys.readouterr().out
    assert main(["data", "prepare", str(videos), str(tmp_path / "proxies"), *limit]) == 0
    assert all(re.search(f"avi {OVER}$", line) for line in capsys.readouterr().out.splitlines()[1:])
    assert main(["embed", str(videos), *out, "--clips", "1", "--time-limit", "60"]) == 0
    cam = str(tmp_path / "cam.png")
    video = str(sorted(videos.iterdir())[0])
    assert main(["picture", "gradcam", video, "--out", cam, *limit]) == 2
    assert re.search(f"^kdvideo: error: video {video} {OVER}\n$", capsys.readouterr().err, re.MULTILINE)
    assert main(["picture", "retrieval", out[1], str(videos), "--out", cam, *limit]) == 0
    assert caplog.text.count("no picture: video") == 3
    assert main(["picture", "tsne", out[1], str(videos), "--out", cam, *limit]) == 2
    assert re.search(OVER, capsys.readouterr().err)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_limits_that_are_none(seconds: str, capsys: pytest.CaptureFixture):
    """Refused with an example."""
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "a.avi", f"--time-limit={seconds}"])
    assert stopped.value.code == 2
    assert "is no time limit: it must be a number of seconds above 0, e.g. 900" in capsys.readouterr().err


def test_the_key_has_limits(tiny_overrides: list[str], capsys: pytest.CaptureFixture):
    """As all keys."""
    assert main(["train", *tiny_overrides, "DATA.TIME_LIMIT", "0.0"]) == 2
    assert "DATA.TIME_LIMIT is 0.0; it must be above 0" in capsys.readouterr().err
