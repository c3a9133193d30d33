"""Writes proxies: small copies that decode fast from any frame on. Frame i of a proxy is frame i of its source."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter

from kdvideo.data.datasets.records import PROXY_SUFFIX
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.orientation import orientation_of, turn_upright
from kdvideo.data.readers.probe import VideoProbe, probe
from kdvideo.data.readers.pyav import FrameDecoder, average_rate, open_video
from kdvideo.files import write_atomic

__all__ = ["ProxyConfig", "proxy_name", "write_proxy"]

# libswscale's flags by their numbers, which PyAV 17 has no names for: bilinear, exact rounding, and chroma computed for
# every pixel on its way in and out. Without the last two, the way to RGB and back makes pictures darker by 1.2 of 255.
_SCALING = 0x2 | 0x40000 | 0x2000 | 0x4000
_FALLBACK_RATE = Fraction(25)
_MAX_RATE = 240  # frames per second; files without a sensible clock state 1000


@dataclass(frozen=True)
class ProxyConfig:
    """How proxies are encoded: H.264 without B-frames, tuned for decoding.

    `benchmarks/proxy_settings.py` measures the choice.

    Attributes:
        short_side: pixels of the shorter side; a smaller video keeps its size. The default leaves a margin for crops of
            112.
        gop: frames from one key frame to the next; a reader that seeks decodes half of them in vain on average.
        crf: x264's constant rate factor, 0 to 51; lower is better and bigger.
    """

    short_side: int = 128
    gop: int = 12
    crf: int = 20


def proxy_name(name: str) -> str:
    """Names a source's proxy: `a.avi` -> `a.avi.mp4`, `a.mp4` -> `a.mp4`."""
    return name if name.endswith(PROXY_SUFFIX) else f"{name}{PROXY_SUFFIX}"


def write_proxy(
    source: Path, target: Path, config: ProxyConfig | None = None, *, time_limit: float = TIME_LIMIT
) -> VideoProbe:
    """Encodes one video as a proxy.

    `target` is written completely or not at all. The proxy has no sound and a constant rate. Its frames are those that
    a sequential decode of the source delivers, one by one, turned as the file asks for. The finished proxy is decoded
    once to verify that.

    Args:
        source: the video.
        target: an MP4 file.
        config: how to encode. Defaults to `ProxyConfig()`.
        time_limit: seconds for decoding the source, and again for the proxy.

    Returns:
        What the proxy is; `skipped` and `missing` are those of the source.

    Raises:
        ValueError: the source gives no frame, or the proxy does not give the source's frames back.
    """
    found: list[VideoProbe] = []

    def write(path: Path) -> None:
        decoder = FrameDecoder(source, time_limit=time_limit)
        count = _encode(decoder, path, config or ProxyConfig())
        found.append(replace(probe(path, time_limit=time_limit), skipped=decoder.skipped, missing=decoder.missing))
        if found[-1].frames != count:
            raise ValueError(f"the proxy of {source} gives {found[-1].frames} of its {count} frames")

    write_atomic(target, write)
    return found[-1]


def _encode(decoder: FrameDecoder, path: Path, config: ProxyConfig) -> int:
    """Writes the proxy and returns how many frames it got."""
    rate = _rate_of(decoder.path, time_limit=decoder.time_limit)
    count = 0
    # An absolute path: in a relative one FFmpeg takes what stands before a colon for a protocol.
    with av.open(os.path.abspath(path), "w", format="mp4") as container:
        for picture in _small_pictures(decoder, config.short_side):
            if count == 0:
                stream = _add_stream(container, picture, rate, config)
            container.mux(stream.encode(picture))
            count += 1
        if count == 0:
            raise VideoError(decoder.path, "gives no frame")
        container.mux(stream.encode())
    return count


def _add_stream(
    container: OutputContainer, picture: av.VideoFrame, rate: Fraction, config: ProxyConfig
) -> av.VideoStream:
    options = {"crf": str(config.crf), "preset": "veryfast", "tune": "fastdecode"}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height = picture.width, picture.height
    stream.pix_fmt = picture.format.name
    stream.codec_context.gop_size = config.gop
    stream.codec_context.max_b_frames = 0
    stream.codec_context.thread_count = 1  # each process encodes one file: that is parallel enough
    return stream


def _rate_of(source: Path, *, time_limit: float) -> Fraction:
    """Returns the source's mean frame rate. It is 25 if the source states none or a senseless one."""
    with open_video(source, time_limit=time_limit) as (_, stream):
        rate = average_rate(stream) or _FALLBACK_RATE
    return rate.limit_denominator(1001) if 0 < rate <= _MAX_RATE else _FALLBACK_RATE


def _small_pictures(frames: Iterable[av.VideoFrame], short_side: int) -> Iterator[av.VideoFrame]:
    """Yields all frames, upright and in one small size.

    The first frame decides the size. They go through RGB, as a reader shows them, so the file's colour settings need
    not be passed on.
    """
    to_rgb, to_yuv = VideoReformatter(), VideoReformatter()
    size = None
    for frame in frames:
        if size is None:
            size, orientation = _proxy_size(frame.width, frame.height, short_side), orientation_of(frame)
        small = to_rgb.reformat(frame, width=size[0], height=size[1], format="rgb24", interpolation=_SCALING, threads=1)
        upright = np.ascontiguousarray(turn_upright(small.to_ndarray(), orientation))
        yield to_yuv.reformat(av.VideoFrame.from_ndarray(upright), format="yuv420p", interpolation=_SCALING, threads=1)


def _proxy_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Returns the nearest even size whose shorter side is `short_side`.

    yuv420p needs even sizes. Nothing is enlarged.
    """
    scale = min(1.0, short_side / min(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
