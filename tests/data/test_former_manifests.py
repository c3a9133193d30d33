"""Manifests, proxies and replay keys that the kdvideo before format 2 wrote, in `format_1/`.

It read the first video track, stopped at the first packet that cannot be decoded and turned mirrored pictures. What it
said of `whole.avi` is right; of the four other files it is not.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import simplejson

from kdvideo.data.checking import check
from kdvideo.data.checking.check import check_dataset, usable_videos
from kdvideo.data.checking.manifest import FORMAT, MANIFEST_NAME, read_manifest
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.proxies import dataset as prepare
from kdvideo.data.proxies.dataset import write_proxies
from kdvideo.data.proxies.transcode import ProxyConfig
from kdvideo.engine.replay import _hash_videos

FORMER = Path(__file__).parent / "format_1"
NAMES = ["damaged.avi", "first_bad.avi", "mirrored.mp4", "tracks.mkv", "whole.avi"]
FRAMES = {"damaged.avi": 11, "first_bad.avi": 0, "mirrored.mp4": 12, "tracks.mkv": 12, "whole.avi": 12}


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A copy of the folders, each file with the time of change that its manifest has for it."""
    for folder in ("videos", "proxies"):
        shutil.copytree(FORMER / folder, tmp_path / folder)
        for entry in read_manifest(tmp_path / folder / MANIFEST_NAME).values():
            assert entry.format == 1
            if entry.file_bytes >= 0:
                os.utime(tmp_path / folder / entry.path, ns=(entry.mtime_ns, entry.mtime_ns))
    return tmp_path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded whole, or encoded, in this process."""
    names: list[str] = []
    look_at, write_proxy = check.look_at, prepare.write_proxy

    def look(path: Path, **options):
        names.append(path.name)
        return look_at(path, **options)

    def write(source: Path, *arguments, **options):
        names.append(source.name)
        return write_proxy(source, *arguments, **options)

    def run(function, items, **options):
        return ((item, function(item)) for item in items)

    monkeypatch.setattr(check, "look_at", look)
    monkeypatch.setattr(prepare, "write_proxy", write)
    monkeypatch.setattr(check, "run_isolated", run)
    monkeypatch.setattr(prepare, "run_isolated", run)
    return names


def test_a_check_looks_again_where_reading_changed(former: Path, looked_at: list[str]):
    """The file that is read as ever keeps its line; then all lines are of the format of now."""
    checked = check_dataset(former / "videos", NAMES, num_workers=1)
    assert {name: entry.probe.frames for name, entry in checked.items()} == FRAMES
    assert looked_at == [name for name in NAMES if name != "whole.avi"]
    again = read_manifest(former / "videos" / MANIFEST_NAME)
    assert again == checked
    assert {entry.format for entry in again.values()} == {FORMAT}
    check_dataset(former / "videos", NAMES, num_workers=1)
    assert len(looked_at) == 4


def test_a_training_does_not_believe_it_either(former: Path, looked_at: list[str]):
    """What it finds out is remembered, since the dataset's folder may be another's."""
    records = [VideoRecord(former / "videos" / name, name, 0) for name in NAMES]
    options = {"max_bad_fraction": 0.5, "num_workers": 1}
    videos = usable_videos(records, former / "videos", **options)
    assert {record.name: n for record, n in zip(videos.records, videos.num_frames, strict=True)} == {
        name: frames for name, frames in FRAMES.items() if frames
    }
    assert "whole.avi" not in looked_at
    assert usable_videos(records, former / "videos", **options) == videos
    assert len(looked_at) == 4


def test_proxies_of_frames_that_changed_are_made_again(former: Path, looked_at: list[str]):
    """The others stay as they are."""
    whole = (former / "proxies" / "whole.avi.mp4").stat().st_mtime_ns
    made = write_proxies(former / "videos", former / "proxies", config=ProxyConfig(), num_workers=1, time_limit=60)
    assert {entry.source["path"]: entry.probe.frames for entry in made.values()} == FRAMES
    assert looked_at == [name for name in NAMES if name != "whole.avi"]
    assert (former / "proxies" / "whole.avi.mp4").stat().st_mtime_ns == whole
    assert made["damaged.avi.mp4"].probe.skipped == 1


def test_replay_stores_of_videos_that_changed_are_others(former: Path):
    """A store of videos that are read as ever keeps its key; one mirrored file makes another."""
    before = simplejson.loads((FORMER / "replay_hashes.json").read_text())
    for names, digest in before.items():
        records = [VideoRecord(former / "videos" / name, name, 0) for name in names.split()]
        videos = usable_videos(records, former / "videos", max_bad_fraction=0, num_workers=1)
        assert (_hash_videos(videos, asked_by="TEACHER.REPLAY") == digest) == (names == "whole.avi"), names


def test_a_damaged_file_that_was_repaired(former: Path, looked_at: list[str]):
    """A line about another file of that name is not even compared."""
    shutil.copyfile(former / "videos" / "whole.avi", former / "videos" / "damaged.avi")
    checked = check_dataset(former / "videos", NAMES, num_workers=1)
    assert replace(checked["damaged.avi"].probe, revision=0).frames == 12
    assert "damaged.avi" in looked_at
