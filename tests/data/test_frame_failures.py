"""Frame caches that lack a video, cannot be written or cannot be read: no work is repeated, and the log says why."""

import errno
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kdvideo.data.cache import fill, frames
from kdvideo.data.cache.fill import cache_frames
from kdvideo.data.cache.frames import map_frames
from kdvideo.data.checking.check import usable_videos
from kdvideo.data.datasets import ucf101
from kdvideo.data.videos import VideoList

SIDE = 36
fill_cache = partial(cache_frames, short_side=SIDE, num_workers=1)


@pytest.fixture
def own(tiny_dataset: Path, tmp_path: Path) -> VideoList:
    """Two videos of which the second one broke after it was checked."""
    root = tmp_path / "videos"
    root.mkdir()
    records = [
        replace(record, path=Path(shutil.copy2(record.path, root / record.path.name)))
        for record in ucf101(tiny_dataset, split=1, subset="train")[:2]
    ]
    videos = usable_videos(records, root, max_bad_fraction=0.5, num_workers=1)
    records[1].path.write_bytes(b"no video")
    return videos


def test_a_failure_is_remembered(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    """The next run or rank takes no lock and decodes nothing, but names the video; a higher limit tries again."""
    fill_cache(own, tmp_path)
    caplog.clear()
    with monkeypatch.context() as context:
        context.setattr(fill, "locked", None)
        found = fill_cache(own, tmp_path)
    assert [bool(one) for one in found.cached] == [True, False]
    assert any(f"  {own.records[1].path} cannot be opened: " in line for line in caplog.messages)
    assert f"  they are not tried again, unless you delete {tmp_path}/*.failed" in caplog.messages
    fill_cache(replace(own, time_limit=150.0), tmp_path)
    assert len(list(tmp_path.glob("*.150s.failed"))) == 1


def test_a_file_that_the_system_refuses_is_tried_again(own: VideoList, tmp_path: Path, monkeypatch):
    """An outage is no video's fault."""
    monkeypatch.setattr(fill, "system_error", lambda path: OSError(errno.EIO, os.strerror(errno.EIO)))
    assert [bool(one) for one in fill_cache(own, tmp_path).cached] == [True, False]
    assert not list(tmp_path.glob("*.failed"))


def test_decoding_has_more_time_than_the_check(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Frames are converted, resized and written within the same time."""
    limits = []

    def run(function, items, *, num_workers, time_limit):
        limits.extend([function.keywords["time_limit"], time_limit])
        return iter(())

    monkeypatch.setattr(fill, "run_isolated", run)
    fill_cache(own, tmp_path)
    assert limits == [5 * own.time_limit, 5 * own.time_limit + 10]


def test_a_share_that_is_read_only(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    """What it has is used, with a warning; one that has nothing is refused."""
    fill_cache(own.subset([0]), tmp_path)
    monkeypatch.setattr(fill, "locked", refuse(OSError(errno.EROFS, "Read-only file system")))
    assert [bool(one) for one in fill_cache(own, tmp_path).cached] == [True, False]
    assert f"frame cache: {tmp_path} cannot be written (Read-only file system): no video is added" in caplog.messages
    with pytest.raises(ValueError, match=r"cannot be written \(Read-only file system\): make room"):
        fill_cache(own, tmp_path / "empty")


@pytest.mark.parametrize("error", [TimeoutError("another run decodes"), ChildProcessError("use fewer")], ids=str)
def test_errors_that_are_not_the_disks(own: VideoList, tmp_path: Path, monkeypatch, error: OSError):
    """A lock that is held and processes that do not start keep their own words."""
    monkeypatch.setattr(fill, "locked", refuse(error))
    with pytest.raises(type(error), match=str(error)):
        fill_cache(own, tmp_path)


def test_a_map_that_fails_once(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    """It is tried again at the next clip, and the log names the first one."""
    monkeypatch.setattr(frames, "_told", False)
    path = fill_cache(own.subset([0]), tmp_path).cached[0].path
    with monkeypatch.context() as context:
        context.setattr(frames, "_read_layout", refuse(OSError(errno.EMFILE, "Too many open files")))
        assert map_frames(path) is None
        assert map_frames(path) is None
    told = f"frame cache: {path} cannot be read (Too many open files): its video is decoded, as are others like it"
    assert caplog.messages.count(told) == 1
    assert map_frames(path) is not None


def refuse(error: Exception):
    """Returns a function that raises the error."""

    def raise_it(*_, **options):
        raise error

    return raise_it
