"""The frame cache: the same batches as from the videos, and frames that are whole and of the right videos."""

import logging
import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from kdvideo.config import load_config
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.cache import fill, frames
from kdvideo.data.cache.fill import cache_frames
from kdvideo.data.cache.frames import map_frames
from kdvideo.data.checking.check import usable_videos
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord, ucf101
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.samples import FixedTuples, TrainTuples, TupleConfig, UniformClips
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList, join_lists
from kdvideo.engine.build import load_videos

SIDE = 36
CLIP = ClipSpec(clip_len=4, size=32)
STRIDED = ClipSpec(clip_len=4, frame_stride=3, size=32)
BATCH_SIZE = 4


def tuples_of(clip: ClipSpec) -> TupleConfig:
    return TupleConfig(TupleLayout(clip, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=SIDE)


def usable(records: list[VideoRecord], root: Path) -> VideoList:
    return usable_videos(records, root, max_bad_fraction=0.5, num_workers=1)


@pytest.fixture(scope="session")
def videos(tiny_dataset: Path) -> VideoList:
    return usable(ucf101(tiny_dataset, split=1, subset="train")[:10], tiny_dataset)


@pytest.fixture(scope="session")
def cached(videos: VideoList, tmp_path_factory: pytest.TempPathFactory) -> VideoList:
    """The same videos with their frames, and none of their files."""
    found = cache_frames(videos, tmp_path_factory.mktemp("frames"), short_side=SIDE, num_workers=2)
    assert all(found.cached)
    gone = [replace(record, path=Path("/gone", record.name)) for record in videos.records]
    return replace(found, records=gone)


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert set(one) == set(other)
        for key, value in other.items():
            assert torch.equal(one[key], value) if isinstance(value, torch.Tensor) else one[key] == value


def batches(videos: VideoList, *, num_workers=0, rank=0, world_size=1, start_step=0) -> list[dict]:
    """What one rank reads in two epochs, the first one from `start_step` on."""
    dataset = TrainTuples(videos, tuples_of(CLIP), seed=3, num_negatives=4)
    sampler = EpochSampler(len(dataset), seed=3, batch_size=BATCH_SIZE, rank=rank, world_size=world_size)
    loader = create_loader(dataset, batch_size=BATCH_SIZE // world_size, num_workers=num_workers, sampler=sampler)
    collected = []
    for epoch in range(2):
        sampler.epoch, sampler.start_step = epoch, start_step if epoch == 0 else 0
        collected += list(loader)
    return collected


@pytest.fixture(scope="session")
def reference(videos: VideoList) -> list[dict]:
    """Batches from the files, read by this process alone."""
    return batches(videos)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("num_workers", [0, 2, 4])
def test_batches_equal_those_from_files(cached: VideoList, reference: list[dict], num_workers: int):
    """To the bit, in both epochs."""
    assert_equal(batches(cached, num_workers=num_workers), reference)


def test_two_ranks_and_mid_epoch(cached: VideoList, reference: list[dict]):
    """The ranks' shares together are the batch; from step 1 on come the batches that would have come."""
    shares = [batches(cached, rank=rank, world_size=2) for rank in range(2)]
    together = [{key: torch.cat([part[key] for part in step]) for key in step[0]} for step in zip(*shares, strict=True)]
    assert_equal(together, reference)
    assert_equal(batches(cached, start_step=1), reference[1:])


@pytest.mark.parametrize("clip", [CLIP, STRIDED, replace(CLIP, clip_len=80)], ids=["plain", "strided", "looped"])
@pytest.mark.parametrize("augment_on", ["worker", "device"])
def test_every_kind_of_sample_is_the_same(videos: VideoList, cached: VideoList, clip: ClipSpec, augment_on: str):
    """Labelled clips, also longer than the video, evaluation tuples and views, from strided and plain clips."""

    def samples(source: VideoList) -> list[dict]:
        labelled = TrainClips(source, clip, augment=AugmentConfig(), short_side=SIDE, seed=1, augment_on=augment_on)
        found = [labelled[(epoch, i)] for epoch in range(3) for i in (0, 7)]
        found += [UniformClips(source, clip, num_clips=3, short_side=SIDE, num_crops=crops)[2] for crops in (1, 3)]
        if clip.clip_len <= 4:
            tuples = TrainTuples(source, tuples_of(clip), seed=1, num_negatives=0, augment_on=augment_on)
            found += [tuples[(epoch, 5)] for epoch in range(8)]
            found.append(FixedTuples(source, tuples_of(clip), num_slots=5)[4])
        return found

    assert_equal(samples(cached), samples(videos))


def test_a_teachers_own_size_is_read_from_the_file(videos: VideoList, cached: VideoList):
    """Its frames are resized to another side, which the cache does not have."""
    teacher = replace(CLIP, clip_len=8, size=48)
    here = replace(cached, records=videos.records)
    options = {"seed": 1, "num_negatives": 0, "teacher": teacher}
    found, expected = (TaughtTuples(one, tuples_of(CLIP), **options)[(0, 3)] for one in (here, videos))
    assert_equal([found], [expected])
    assert found["teacher_clips"].shape[-1] == 48


def test_frames_are_those_of_the_video_resized(videos: VideoList, cached: VideoList):
    """All of them, in planes, and readable by NumPy alone; what is written into a map does not reach the file."""
    whole = F.resize(read_frames(videos.records[0].path, range(videos.num_frames[0])), [SIDE], antialias=True)
    path = cached.cached[0].path
    assert np.array_equal(np.load(path), whole.numpy())
    map_frames(path).zero_()
    frames._kept_map.cache_clear()
    assert torch.equal(map_frames(path), whole)


def test_parts_and_joined_lists_keep_their_frames(videos: VideoList, cached: VideoList):
    """Each video its own."""
    part = cached.subset([4, 2])
    assert [one.path for one in part.cached] == [cached.cached[i].path for i in (4, 2)]
    joined = join_lists([videos.subset([0]), part])
    assert joined.cached == [None, *part.cached]


@pytest.fixture
def own(tiny_dataset: Path, tmp_path: Path) -> VideoList:
    """Three videos that may be changed."""
    root = tmp_path / "videos"
    records = [
        replace(record, path=Path(shutil.copy2(record.path, root / record.path.name)))
        for record in ucf101(tiny_dataset, split=1, subset="train")[:3]
        if root.mkdir(exist_ok=True) is None
    ]
    return usable(records, root)


def test_a_changed_video_is_decoded_anew(own: VideoList, tmp_path: Path):
    """Another content, a new time of the same content, another size, another revision: never the frames of before."""
    root = own.records[0].path.parent
    before = cache_frames(own, tmp_path, short_side=SIDE, num_workers=1)
    shutil.copyfile(own.records[1].path, own.records[0].path)
    after = cache_frames(usable(own.records, root), tmp_path, short_side=SIDE, num_workers=1)
    assert after.cached[0] != before.cached[0]
    assert after.cached[1:] == before.cached[1:]
    assert torch.equal(map_frames(after.cached[0].path), map_frames(after.cached[1].path))
    os.utime(own.records[2].path)
    again = cache_frames(own, tmp_path, short_side=SIDE, num_workers=1)
    assert again.cached[2] != before.cached[2]
    other = cache_frames(own, tmp_path, short_side=40, num_workers=1)
    assert not {one.path for one in other.cached} & {one.path for one in again.cached}
    revised = cache_frames(replace(own, revisions=[1, 1, 1]), tmp_path, short_side=SIDE, num_workers=1)
    assert not {one.path for one in revised.cached} & {one.path for one in again.cached}


def test_frames_are_read_once(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    """The next run decodes nothing, wherever the dataset lies by then; size and place are said before."""
    with caplog.at_level(logging.INFO, logger="kdvideo"):
        cache_frames(own, tmp_path, short_side=SIDE, num_workers=1)
    size = sum(count * 3 * SIDE * 48 for count in own.num_frames)
    assert f"frame cache: decoding 3 videos to {size / 1e6:.1f} MB in {tmp_path}" in caplog.messages
    assert f"frame cache: 3 of 3 videos, {(size + 3 * 128) / 1e6:.1f} MB in {tmp_path}" in caplog.messages
    monkeypatch.setattr(fill, "run_isolated", None)
    moved = tmp_path / "moved"
    shutil.copytree(own.records[0].path.parent, moved)
    records = [replace(record, path=moved / record.path.name) for record in own.records]
    assert all(cache_frames(replace(own, records=records), tmp_path, short_side=SIDE, num_workers=1).cached)


def test_bad_videos_in_the_middle(own: VideoList, tmp_path: Path, caplog):
    """One that broke after it was checked, and one that is gone, are named; the others are cached."""
    own.records[1].path.write_bytes(b"no video")
    own.records[2].path.unlink()
    found = cache_frames(own, tmp_path, short_side=SIDE, num_workers=2)
    assert [bool(one) for one in found.cached] == [True, False, False]
    assert any("1 videos are not cached, but read from their files" in line for line in caplog.messages)
    assert any(str(own.records[1].path) in line for line in caplog.messages)


def test_a_video_that_changes_while_it_is_decoded(own: VideoList, tmp_path: Path):
    """Its frames would stand for another file."""
    source = fill._source(own, 0, tmp_path, short_side=SIDE)
    os.utime(own.records[0].path)
    assert fill._write_one(source, short_side=SIDE, time_limit=60) == "has changed while it was decoded"
    assert not source.target.exists()


def test_no_room(own: VideoList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Before anything is written, in one line; a folder that cannot be made, too."""
    monkeypatch.setattr(fill.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 8, 1000))
    with pytest.raises(ValueError, match=r"^`cache` .* has 0\.0 MB of free disk, .* 3 videos take 1\.0 MB: choose"):
        cache_frames(own, tmp_path / "new", short_side=SIDE, num_workers=1)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".lock"]
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^`cache` .*/file/x cannot be written \(.*\): make room, choose"):
        cache_frames(own, tmp_path / "file" / "x", short_side=SIDE, num_workers=1)


def test_a_damaged_file_is_not_used(own: VideoList, tmp_path: Path):
    """One that somebody cut off: the clips come from the video, and the next run makes it anew."""
    found = cache_frames(own, tmp_path, short_side=SIDE, num_workers=1)
    with found.cached[0].path.open("r+b") as stream:
        stream.truncate(5000)
    options = {"short_side": SIDE, "size": 32}
    clips = [source.read_clips(0, [(0, 1, 2)], places=[(0.3, 0.3)], **options)[0] for source in (found, own)]
    assert torch.equal(*clips)
    again = cache_frames(own, tmp_path, short_side=SIDE, num_workers=1)
    assert map_frames(again.cached[0].path).shape[0] == own.num_frames[0]


def test_killed_while_it_is_written(videos: VideoList, tmp_path: Path):
    """kill -9 after some videos: what is there is whole, the next call decodes the rest only, and no leftover stays."""
    frames = tmp_path / "frames"
    process = multiprocessing.get_context("fork").Process(
        target=cache_frames, args=(videos, frames), kwargs={"short_side": SIDE, "num_workers": 1}
    )
    process.start()
    while len(list(frames.glob("*.npy"))) < 2:
        assert process.is_alive(), "the process has ended before it could be killed"
        time.sleep(0.001)
    process.kill()
    process.join()
    there = {path: path.stat().st_mtime_ns for path in frames.glob("*.npy")}
    assert len(there) < len(videos), "all had been written before the process was killed"
    (frames / ".left.12345678.tmp").touch()
    found = cache_frames(videos, frames, short_side=SIDE, num_workers=1)
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert not list(frames.glob("*.tmp"))
    for i in range(len(videos)):
        whole = F.resize(read_frames(videos.records[i].path, range(videos.num_frames[i])), [SIDE], antialias=True)
        assert torch.equal(map_frames(found.cached[i].path), whole)


def test_two_runs_at_once(videos: VideoList, tmp_path: Path):
    """One decodes while the other waits: each video is decoded once, and both have all frames."""
    context = multiprocessing.get_context("fork")
    results, fill_all = context.Queue(), fill._fill

    def run() -> None:
        decoded: list[int] = []
        fill._fill = lambda sources, **options: decoded.append(len(sources)) or fill_all(sources, **options)
        found = cache_frames(videos, tmp_path, short_side=SIDE, num_workers=1)
        results.put((sum(decoded), all(found.cached)))

    processes = [context.Process(target=run) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(results.get(timeout=120) for _ in processes) == [(0, True), (len(videos), True)]
    for process in processes:
        process.join()
    assert len(list(tmp_path.glob("*.npy"))) == len(videos)


def test_a_run_fills_the_folder_that_its_config_names(tiny_overrides: list[str], tmp_path: Path, kdvideo_home: Path):
    """Below it, a folder for each dataset and size; "auto" is in KDVIDEO_HOME, and nothing is the default."""
    places = {"": [], "auto": [kdvideo_home / "frames"], str(tmp_path / "own"): [tmp_path / "own"]}
    for value, expected in places.items():
        cfg = load_config(None, [*tiny_overrides, "DATA.CACHE", value])
        found = load_videos(cfg, "test")
        folders = {one.path.parent for one in found.cached}
        assert folders == {folder / f"{Path(cfg.DATA.ROOT).name}-36" for folder in expected}
