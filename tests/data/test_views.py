"""Uniform clips and their crops, against frames cut by hand."""

from pathlib import Path

import av
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.samples import UniformClips
from kdvideo.data.videos import VideoList

CLIP = ClipSpec(clip_len=4, size=32)


def noise(path: Path, *, width: int, height: int, num_frames: int = 20) -> VideoList:
    """An encoded video of which no two places are alike."""
    generator = torch.Generator().manual_seed(width)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(num_frames):
            picture = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")))
        container.mux(stream.encode())
    return VideoList([VideoRecord(path, path.name, class_id=3)], [num_frames])


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96), (64, 64)])
def test_three_crops_lie_along_the_longer_side(tmp_path: Path, width: int, height: int):
    """Of the resized frame, before any crop: both ends of the longer side and its middle, the shorter one's middle."""
    videos = noise(tmp_path / "a.avi", width=width, height=height)
    sample = UniformClips(videos, CLIP, num_clips=2, short_side=36, num_crops=3)[0]
    assert sample["clips"].shape == (6, 3, 4, 32, 32)
    assert sample["class_id"] == 3
    expected = []
    for start in (0, 16):
        frames = F.resize(read_frames(videos.records[0].path, range(start, start + 4)), [36], antialias=True)
        rows, columns = frames.shape[-2] - 32, frames.shape[-1] - 32  # room for the crop
        for third in range(3):
            top, left = (rows + 1) // 2, (columns + 1) // 2
            if width >= height:
                left = (0, left, columns)[third]
            else:
                top = (0, top, rows)[third]
            expected.append(frames[..., top : top + 32, left : left + 32].transpose(0, 1))
    assert torch.equal(sample["clips"], torch.stack(expected))


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96)])
def test_the_middle_one_is_the_centre_crop(tmp_path: Path, width: int, height: int):
    """So three crops add to what one says."""
    videos = noise(tmp_path / "a.avi", width=width, height=height)
    one = UniformClips(videos, CLIP, num_clips=3, short_side=36)[0]["clips"]
    three = UniformClips(videos, CLIP, num_clips=3, short_side=36, num_crops=3)[0]["clips"]
    assert torch.equal(one, three[1::3])


def test_usual_short_side():
    """The margins of the published recipes."""
    assert [ClipSpec(size=size).usual_short_side for size in (56, 112, 224)] == [64, 128, 256]
