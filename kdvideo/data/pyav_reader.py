"""Decoding with PyAV: the reader that is always there, and the one that says which frame is which.

Frame i is the i-th one that a sequential decode delivers, in display order. Every other way to read a frame has to give
the same picture; `seek_indices` does where `kdvideo.data.probe` has seen to it.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

__all__ = ["Clock", "decode", "decode_indices", "open_video", "seek_indices", "to_rgb", "turn_upright"]


@dataclass(frozen=True)
class Clock:
    """Which frame is shown when, in a file with as much time between any two frames.

    Attributes:
        start: time stamp of frame 0.
        step: from one frame to the next, in the same units.
    """

    start: int
    step: int

    @classmethod
    def of(cls, stream: VideoStream) -> Self | None:
        """As the file states it, or None where its frames are stored in another order or its rate does not divide."""
        if not (stream.average_rate and stream.time_base) or stream.codec_context.has_b_frames:
            return None
        step = 1 / (stream.average_rate * stream.time_base)
        return cls(stream.start_time or 0, int(step)) if step.denominator == 1 else None

    def index(self, time_stamp: int | None) -> int | None:
        """The frame that is shown at that time stamp; None between two frames."""
        if time_stamp is None or (time_stamp - self.start) % self.step:
            return None
        return (time_stamp - self.start) // self.step


@contextmanager
def open_video(path: Path, *, time_limit: float) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The opened file and its first video stream, decoding on one thread: the loader's workers are the parallelism.

    Raises:
        ValueError: it is not a file, cannot be opened or has no video stream.
    """
    if not path.is_file():  # also a pipe or a socket: opening one waits for a writer, for ever
        raise ValueError(f"video {path} is not a file" if path.exists() else f"video {path} does not exist")
    try:
        # Some real files name their author in another encoding than UTF-8.
        container = av.open(str(path), metadata_errors="ignore", timeout=time_limit)
    except av.error.ExitError:
        raise ValueError(f"video {path} takes longer than {time_limit:g} s to open") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"video {path} cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    with container:
        if not container.streams.video:
            raise ValueError(f"video {path} has no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise ValueError(f"video {path} has a video stream that no decoder is known for")
        stream.thread_type = "NONE"
        yield container, stream


def decode(path: Path, *, time_limit: float) -> Iterator[av.VideoFrame]:
    """The frames in display order, up to the first one that cannot be decoded.

    The time is looked at after every packet; FFmpeg itself looks while it waits for data.

    Raises:
        ValueError: the file cannot be opened, has no video stream or takes longer than `time_limit` seconds.
    """
    deadline = time.monotonic() + time_limit
    with open_video(path, time_limit=time_limit) as (container, stream):
        try:
            for packet in container.demux(stream):
                yield from packet.decode()
                if time.monotonic() > deadline:
                    break
        except (av.FFmpegError, OSError):
            pass  # damaged from here on: what came before counts
        if time.monotonic() > deadline:
            raise ValueError(f"video {path} takes longer than {time_limit:g} s to decode")


def decode_indices(path: Path, indices: Collection[int], *, time_limit: float) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes from the start up to the largest index and converts only what is asked for.

    Where a video changes its size on the way, pictures are scaled to the size of the first one, as ffmpeg does it.

    Yields:
        Each index once, in rising order, and its picture, uint8 `[H, W, C]`.

    Raises:
        ValueError: as `decode`, and where the video ends too early.
    """
    seen = 0
    for index, picture in _pick(enumerate(decode(path, time_limit=time_limit)), indices):
        seen += 1
        yield index, picture
    if seen < len(set(indices)):
        raise ValueError(
            f"video {path} ends before frame {max(indices)}; it gives {seen} of {len(set(indices))} asked for"
        )


def seek_indices(path: Path, indices: Collection[int], *, time_limit: float) -> Iterator[tuple[int, np.ndarray]]:
    """As `decode_indices`, from the key frame before the smallest index on.

    For files whose `Clock` tells which frame is which; where it turns out not to, what is missing is decoded from the
    start.

    Yields:
        As `decode_indices`, in any order.

    Raises:
        ValueError: as `decode_indices`.
    """
    missing = set(indices)
    with open_video(path, time_limit=time_limit) as (container, stream):
        clock = Clock.of(stream)
        if clock is not None:
            try:
                container.seek(clock.start + min(indices) * clock.step, stream=stream)
                numbered = ((clock.index(frame.pts), frame) for frame in container.decode(stream))
                for index, picture in _pick(numbered, indices):
                    missing.remove(index)
                    yield index, picture
            except (av.FFmpegError, OSError):
                pass
    if missing:
        yield from decode_indices(path, missing, time_limit=time_limit)


def _pick(
    numbered: Iterable[tuple[int | None, av.VideoFrame]], indices: Collection[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """The pictures of the asked-for frames, each when it comes first, up to the last one."""
    missing = set(indices)
    reformatter, size = VideoReformatter(), None
    for index, frame in numbered:
        size = size or (frame.width, frame.height)
        if index in missing:
            missing.remove(index)
            yield index, to_rgb(frame, reformatter, size=size)
            if not missing:
                break


def to_rgb(
    frame: av.VideoFrame, reformatter: VideoReformatter, *, size: tuple[int | None, int | None] = (None, None)
) -> np.ndarray:
    """The picture, upright, uint8 `[H, W, C]`, a view of FFmpeg's memory.

    Args:
        frame: decoded.
        reformatter: one for all frames of the file; `frame.to_ndarray` would set up a conversion for each of them,
            which takes longer than decoding it.
        size: width and height before it is turned upright; its own unless given.
    """
    converted = reformatter.reformat(frame, width=size[0], height=size[1], format="rgb24", threads=1)
    plane = converted.planes[0]
    strides = (plane.line_size, 3, 1)
    image = np.ndarray((converted.height, converted.width, 3), np.uint8, memoryview(plane), strides=strides)
    return turn_upright(image, frame)


def turn_upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """The frame's picture `[H, W, C]`, at whatever size, as the file says that it is to be shown."""
    # The file gives the counter-clockwise turn that shows it upright, in degrees. Broken ones give any number.
    quarters = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
    return np.rot90(image, k=quarters) if quarters else image
