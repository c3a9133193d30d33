"""Proxies: frame by frame their source's pictures, small and fast to enter anywhere."""

import math
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from torch import Tensor
from torch.nn.functional import mse_loss
from torchvision.transforms.v2 import functional as F

from kdvideo.data.proxies.transcode import ProxyConfig, proxy_name, write_proxy
from kdvideo.data.readers.decode import count_frames, read_frames


def pictures(path: Path, indices: Sequence[int], size: Sequence[int] = (128, 170)) -> Tensor:
    return F.resize(read_frames(path, indices), list(size), antialias=True).float()


def squared_error(source: Path, proxy: Path, indices: Sequence[int], shift: int) -> float:
    return mse_loss(pictures(proxy, indices), pictures(source, [i + shift for i in indices])).item()


def psnr(source: Path, proxy: Path, indices: Sequence[int], size: Sequence[int]) -> float:
    """Peak signal to noise ratio in dB, against the source's frames resized as training does it."""
    error = mse_loss(pictures(proxy, indices, size), pictures(source, indices, size)).item()
    return 10 * math.log10(255**2 / max(error, 1e-9))


def test_frame_by_frame(real_data: Path, tmp_path: Path):
    """Of genuine clips: the same count, size and pictures, and no neighbour's picture fits nearly as well."""
    for i, source in enumerate(sorted((real_data / "ucf101-mini").glob("*/*.avi"))[::70]):
        proxy = tmp_path / f"{i}.mp4"
        found = write_proxy(source, proxy)
        assert (found.frames, found.width, found.height) == (count_frames(source), 170, 128)
        for index in (0, 1, found.frames // 2, found.frames - 1):
            assert psnr(source, proxy, [index], [128, 170]) > 29  # measured: 31 to 38
        here, before, after = (squared_error(source, proxy, range(4, 24), shift) for shift in (0, -1, 1))
        assert 2 * here < min(before, after)  # measured: factors of 3.3 to 5


def test_how_it_is_encoded(tiny_dataset: Path, tmp_path: Path):
    """H.264 without B-frames, a key frame at least every `gop` frames, no sound, one tick a frame."""
    source = next(tiny_dataset.glob("*/*.avi"))
    write_proxy(source, tmp_path / "p.mp4", ProxyConfig(short_side=32, gop=7))
    with av.open(str(tmp_path / "p.mp4")) as container:
        (stream,) = container.streams
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == (32, 42)
    assert not stream.codec_context.has_b_frames
    keys = [i for i, frame in enumerate(frames) if frame.key_frame]
    assert max(np.diff([*keys, len(frames)])) <= 7
    assert len(set(np.diff([frame.pts for frame in frames]))) == 1


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("decord__video_90.mov", 128, 228),  # turned upright
        ("exoplayer__bear-vp9-odd-dimensions.webm", 160, 120),  # 161 x 121, never enlarged
        ("mp4parse__tiny_av1.mp4", 64, 64),
        ("moviepy__bitmap.mp4", 2, 2),  # of 1 x 1
        ("exoplayer__sample.flv", 192, 128),  # claims 1000 frames a second
        ("decord__corrupted.mp4", 228, 128),  # as far as it goes
        ("moviepy__transparent.webm", 128, 128),
        ("imageio__newtonscradle.gif", 170, 128),
    ],
)
def test_odd_sources(real_data: Path, tmp_path: Path, name: str, width: int, height: int):
    """All frames that the source gives, upright, in even sizes, in the same colours."""
    source = real_data / "weird" / name
    found = write_proxy(source, tmp_path / "p.mp4")
    assert (found.frames, found.width, found.height) == (count_frames(source), width, height)
    size = (height, width)
    assert psnr(source, tmp_path / "p.mp4", [0], size) > 23  # 25 for the damaged one, 28 and more for the others
    bias = (pictures(tmp_path / "p.mp4", [0], size) - pictures(source, [0], size)).mean(dim=(0, 2, 3))
    assert bias.abs().max() < 1.5


def test_a_source_without_frames_leaves_nothing(real_data: Path, tmp_path: Path):
    """One line, and no file, whole or half."""
    for name in ("mp4parse__zero_empty_stsc.mp4", "exoplayer__sample_opus.mp4", "giocoal__zero_bytes_video.avi"):
        with pytest.raises(ValueError, match=name):
            write_proxy(real_data / "weird" / name, tmp_path / "p.mp4")
    assert list(tmp_path.iterdir()) == []


def test_names():
    """The container is MP4 whatever the source's, and the name says both."""
    assert proxy_name("A/x.avi") == "A/x.avi.mp4"
    assert proxy_name("A/x.mp4") == "A/x.mp4"
