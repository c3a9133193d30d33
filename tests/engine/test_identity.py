"""A run goes on with the videos that it was begun with, or says which are others."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdvideo.config import load_config
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.videos import VideoList
from kdvideo.engine.checkpoint import check_same_run, read_state, save_state
from kdvideo.engine.identity import (
    check_same_teachers,
    check_same_videos,
    describe_teachers,
    describe_videos,
    former_class_order,
)
from kdvideo.zoo.sources import Weights

NAMES = ["a/1.avi", "a/2.avi", "b/1.avi", "b/caf\udce9.avi"]  # the last one is Latin-1 on the disk
VIDEOS = VideoList([VideoRecord(Path("/d", name), name, int(name[0] == "b")) for name in NAMES], [9, 8, 7, 6])


def renamed(*names: str) -> VideoList:
    records = [replace(record, name=name) for record, name in zip(VIDEOS.records, names, strict=True)]
    return VideoList(records, VIDEOS.num_frames)


@pytest.fixture
def checkpoint(tmp_path: Path) -> dict:
    save_state(tmp_path / "checkpoint.pt", {"videos": describe_videos(VIDEOS)})
    return read_state(tmp_path / "checkpoint.pt")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("kdvideo"), "propagate", True)
    return caplog


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (renamed("a/1.avi", "a/9.avi", "a/8.avi", NAMES[3]), r"new 2 \(the first a/8.avi\), missing 2 \(the first a/2"),
        (VIDEOS.subset([0, 1, 2]), r"have changed: new 0, missing 1 \(the first b/caf.\.avi\); a bank's rows"),
        (renamed(*NAMES[:3], NAMES[2]), r"new 1 \(the first b/1.avi\), missing 1"),
        (VIDEOS.subset([0, 2, 1, 3]), r"in another order, number 1 is b/1.avi and was a/2.avi: a bank's rows"),
        (
            VideoList([replace(r, class_id=2 * (r.class_id or 0)) for r in VIDEOS.records], VIDEOS.num_frames),
            "2 training videos have another class, the first b/1.avi had number 1, now 2: bring back the lists",
        ),
    ],
)
def test_other_videos_are_refused(checkpoint: dict, videos: VideoList, message: str):
    """How many, and the first; one line."""
    with pytest.raises(ValueError, match=message) as error:
        check_same_videos(videos, checkpoint, dataset="ucf101")
    assert "\n" not in str(error.value)


def test_the_same_videos_elsewhere(checkpoint: dict, warnings: pytest.LogCaptureFixture):
    """Another root, or proxies: nothing is said."""
    proxies = renamed(*(f"{name}.mp4" for name in NAMES))
    moved = VideoList([replace(record, path=Path("/e", record.name)) for record in proxies.records], proxies.num_frames)
    check_same_videos(moved, checkpoint, dataset="ucf101")
    assert not warnings.records


def test_other_numbers_of_frames_are_a_warning(checkpoint: dict, warnings: pytest.LogCaptureFixture):
    """A better reader gives more of a damaged file: no video takes another's place."""
    check_same_videos(VideoList(VIDEOS.records, [9, 8, 170, 6]), checkpoint, dataset="ucf101")
    assert "1 training videos give other numbers of frames than when the run began, the first b/1.avi 7, now 170" in (
        warnings.text
    )


def test_unlabelled_videos(warnings: pytest.LogCaptureFixture):
    """They have no class, before and now."""
    videos = VideoList([replace(record, class_id=None) for record in VIDEOS.records], VIDEOS.num_frames)
    described = describe_videos(videos)
    assert described["class_ids"].tolist() == [-1] * 4
    assert described["num_frames"].dtype == torch.int64
    check_same_videos(videos, {"videos": described}, dataset="unlabelled")
    assert not warnings.records


@pytest.mark.parametrize("listed", [False, True], ids=["TEACHER", "TEACHERS"])
def test_the_remedy_for_a_repository_that_has_moved(listed: bool, tmp_path: Path):
    """The name that the error gives, under the key that it gives, continues the run; another name does not."""
    key = "TEACHERS.2.WEIGHTS" if listed else "TEACHER.WEIGHTS"
    own = ["TEACHERS", "[{WEIGHTS: a}, {WEIGHTS: hf:o/r}]"] if listed else ["TEACHER.WEIGHTS", "hf:o/r"]
    old, new = (Weights(tmp_path / name, name, None, "hf:o/r", f"hf:o/r@{name}") for name in ("old", "new"))
    first = [Weights(tmp_path / "old", "a", None, "a")] if listed else []
    config = load_config(None, own)
    checkpoint = {"config": config.dump(), "epoch_step": 0, **describe_teachers([*first, old])}
    check_same_teachers([*first, old], checkpoint, listed=listed)
    with pytest.raises(ValueError, match=rf"{key} hf:o/r is hf:o/r@new now, .* hf:o/r@old: give that as {key}$"):
        check_same_teachers([*first, new], checkpoint, listed=listed)
    check_same_run(load_config(None, [*own, key, "hf:o/r@old"]), checkpoint)
    for name in ("hf:o/r@new", "other"):
        with pytest.raises(ValueError, match=r"--resume: TEACHER"):
            check_same_run(load_config(None, [*own, key, name]), checkpoint)


def test_the_former_order_of_hmdb51():
    """Six of 51 classes had other numbers."""
    names = ["climb", "climb_stairs", "kick", "kick_ball", "run", "sword", "sword_exercise"]
    former = former_class_order(names)
    assert former == ["climb_stairs", "climb", "kick_ball", "kick", "run", "sword_exercise", "sword"]
