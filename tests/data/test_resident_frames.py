"""Frames that the device holds: the clips that it gathers are those that the host cuts, to the bit."""

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import default_collate

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import Batch
from kdvideo.data.cache.frames import CachedFrames
from kdvideo.data.cache.resident import ResidentFrames, locate_clips
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList

CPU = torch.device("cpu")
SHAPES = [(70, 36, 48), (66, 36, 36), (71, 51, 36), (64, 36, 65), (90, 37, 36), (64, 36, 48)]  # frames, height, width
CLIP = ClipSpec(clip_len=4, frame_stride=2, size=32)
TUPLES = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)


@pytest.fixture
def frames() -> list[torch.Tensor]:
    """Noise of several sizes, so that a pixel from a wrong place shows."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
        for count, height, width in SHAPES
    ]


@pytest.fixture
def videos(frames: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> VideoList:
    """Cached, with these frames."""
    paths = [Path(f"{i}.npy") for i in range(len(frames))]
    by_path = dict(zip(paths, frames, strict=True))
    monkeypatch.setattr("kdvideo.data.videos.map_frames", by_path.__getitem__)
    records = [VideoRecord(path, path.name, i) for i, path in enumerate(paths)]
    return VideoList(records, [len(one) for one in frames], cached=[CachedFrames(path, 36) for path in paths])


def datasets_of(videos: VideoList) -> list[TrainTuples | TrainClips]:
    options = {"seed": 2, "augment_on": "device"}
    return [
        TrainTuples(videos, TUPLES, num_negatives=3, **options),
        TrainClips(videos, CLIP, augment=AugmentConfig(), short_side=36, **options),
        TrainClips(videos, ClipSpec(clip_len=80, size=32), augment=AugmentConfig(), short_side=36, **options),  # looped
    ]


def assert_equal(found: Batch, expected: Batch) -> None:
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value)


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["tuples", "labelled", "looped"])
def test_gathered_clips_are_the_hosts(videos: VideoList, frames: list[torch.Tensor], kind: int):
    """All keys of a batch from all videos, in several epochs, mirrored and not, all of VCP's operations."""
    host, planned = datasets_of(videos)[kind], datasets_of(videos)[kind]
    resident = ResidentFrames(frames, num_bytes=sum(map(torch.numel, frames)), size=32, device=CPU)
    planned.resident_shapes = resident.shapes
    flips = set()
    for epoch in range(6):
        keys = [(epoch, i) for i in (3, 0, 5, 1, 4, 2)]
        batch = default_collate([planned[key] for key in keys])
        assert "clips" not in batch
        flips |= set(batch["flip"].flatten().tolist())
        assert_equal(resident.add_clips(batch), default_collate([host[key] for key in keys]))
    assert flips == {True, False}


def test_through_workers(videos: VideoList, frames: list[torch.Tensor]):
    """Two workers send plans, which say the same."""
    host, planned = datasets_of(videos)[0], datasets_of(videos)[0]
    resident = ResidentFrames(frames, num_bytes=sum(map(torch.numel, frames)), size=32, device=CPU)
    planned.resident_shapes = resident.shapes
    loaders = [
        create_loader(
            dataset, batch_size=2, num_workers=workers, sampler=EpochSampler(len(SHAPES), seed=0, batch_size=2)
        )
        for dataset, workers in ((planned, 2), (host, 0))
    ]
    for found, expected in zip(*loaders, strict=True):
        assert_equal(resident.add_clips(found), expected)


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.9999, 0.9999)])
@pytest.mark.parametrize("flip", [False, True])
def test_corners(frames: list[torch.Tensor], place: tuple[float, float], flip: bool):
    """The first and the last crop of the first and the last frame: no index leaves its video."""
    resident = ResidentFrames(frames, num_bytes=sum(map(torch.numel, frames)), size=32, device=CPU)
    for index, video in enumerate(frames):
        clip = (0, len(video) - 1)
        located = locate_clips([clip], places=[place], flips=[flip], shape=resident.shapes[index], size=32)
        found = resident.add_clips(default_collate([{"index": index, **located}]))["clips"][0, 0]
        height, width = video.shape[-2:]
        top, left = (height - 32, width - 32) if place[0] else (0, 0)
        expected = video[list(clip), :, top : top + 32, left : left + 32].transpose(0, 1)
        assert torch.equal(found, expected.flip(-1) if flip else expected)


def test_a_gpu_is_not_waited_for():
    """On fake CUDA tensors, which have no values to wait for; the clips are there."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        device = torch.device("cuda")
        videos = [torch.empty(shape[0], 3, *shape[1:], dtype=torch.uint8) for shape in SHAPES]
        resident = ResidentFrames(videos, num_bytes=sum(map(torch.numel, videos)), size=32, device=device)
        batch: Batch = {
            "index": torch.zeros(2, dtype=torch.int64, device=device),
            "frames": torch.zeros(2, 3, 4, dtype=torch.int64, device=device),
            "corner": torch.zeros(2, 3, 2, dtype=torch.int64, device=device),
            "flip": torch.zeros(2, 3, dtype=torch.bool, device=device),
        }
        clips = resident.add_clips(batch)["clips"]
    assert clips.shape == (2, 3, 3, 4, 32, 32)
    assert (clips.dtype, clips.device.type) == (torch.uint8, "cuda")
