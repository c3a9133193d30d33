"""Decoding with PyAV, the reader that is always available and that defines which frame is which.

Frame i is the i-th one that a sequential decode delivers, in display order. Every other way to read a frame must give
the same picture; for `seek_indices`, `kdvideo.data.readers.probe` verifies that.
"""

import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.length import missing_seconds, stated_seconds
from kdvideo.data.readers.orientation import Orientation, orientation_of, turn_upright

__all__ = ["Clock", "FrameDecoder", "average_rate", "decode_indices", "open_video", "seek_indices", "to_rgb"]

# Some real files have an author's name in another encoding than UTF-8. PyAV 19 reads them anyway.
_TEXT: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
# Text formats that FFmpeg opens as videos and that name other files, whatever the text's own name ends with.
_LISTS = {"concat", "dash", "hls", "imf", "sdp"}
_DEFAULT_TRACK_BONUS = 5_000_000  # pixels, as ffmpeg adds them


@dataclass(frozen=True)
class Clock:
    """When each frame is shown, in a file whose frames are evenly spaced.

    Attributes:
        start: time stamp of frame 0.
        step: time from one frame to the next, in the same units.
    """

    start: int
    step: int

    @classmethod
    def of(cls, stream: VideoStream) -> Self | None:
        """Returns the clock that a file states.

        None means that its frames are stored in another order, or that a frame does not last a whole number of units.
        """
        rate = average_rate(stream)
        if not (rate and stream.time_base) or stream.codec_context.has_b_frames:
            return None
        step = 1 / (rate * Fraction(stream.time_base))
        return cls(stream.start_time or 0, int(step)) if step.denominator == 1 else None

    def index(self, time_stamp: int | None) -> int | None:
        """Returns the frame of a time stamp. None means that it lies between two frames."""
        if time_stamp is None or (time_stamp - self.start) % self.step:
            return None
        return (time_stamp - self.start) // self.step


@contextmanager
def open_video(path: Path, *, time_limit: float) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a file and chooses its video track.

    Decoding takes one thread, since the loader's workers already run in parallel. The track is the one that ffmpeg's
    command line takes: the largest picture, with a bonus for the default track. A cover picture is no video.

    Raises:
        VideoError: `path` is not a file, cannot be opened or has no video stream.
    """
    if not path.is_file():  # also a pipe or a socket: opening one waits for a writer, for ever
        raise VideoError(path, "is not a file" if path.exists() else "does not exist")
    try:
        # An absolute path: in a relative one FFmpeg takes what stands before a colon for a protocol.
        container = av.open(os.path.abspath(path), timeout=time_limit, **_TEXT)
    except av.error.ExitError:
        raise VideoError(path, f"takes longer than {time_limit:g} s to open") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    with container:
        if not _LISTS.isdisjoint(container.format.name.split(",")):
            raise VideoError(path, f"is a list of other files ({container.format.name}): give these")
        stream = max(_video_tracks(container), key=_track_score, default=None)
        if stream is None:
            only = ", only a cover picture" if container.streams.video else ""
            raise VideoError(path, f"has no video stream{only}")
        if stream.codec_context is None:
            raise VideoError(path, "has a video stream that no decoder is known for")
        stream.thread_type = "NONE"
        yield container, stream


def average_rate(stream: VideoStream) -> Fraction | None:
    """Returns the stated mean frame rate, in frames per second. None means that the file states none."""
    rate = stream.average_rate  # PyAV 19 has a type of its own, which is 0/0 for none
    return Fraction(rate.numerator, rate.denominator) if rate else None


def _video_tracks(container: InputContainer) -> list[VideoStream]:
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _track_score(stream: VideoStream) -> int:
    """Scores a track as ffmpeg's `map_auto_video` does."""
    codec = stream.codec_context
    pixels = codec.width * codec.height if codec is not None else 0
    return pixels + _DEFAULT_TRACK_BONUS * bool(stream.disposition & Disposition.default)


class FrameDecoder:
    """Yields the frames of a file in display order; iterate over it once.

    As in ffmpeg's command line, a packet that cannot be decoded is skipped, and decoding goes on behind it. If the file
    itself becomes unreadable, the frames that the decoder still holds come last.

    Args:
        path: the video.
        time_limit: seconds. The time is checked after every packet, and by FFmpeg while it waits for data.

    Attributes:
        skipped: how many packets could not be read or decoded so far.
        missing: how many seconds a cut-off file lacks at its end, 0.0 for a whole one; set after the last frame.
        is_first_track: whether the track is the first one in the file, as it nearly always is; set at the first frame.

    Raises:
        VideoError: while iterating: the file cannot be opened, has no video stream or takes longer than `time_limit`.
    """

    def __init__(self, path: Path, *, time_limit: float) -> None:
        self.path = path
        self.time_limit = time_limit
        self.skipped = 0
        self.missing = 0.0
        self.is_first_track = True

    def __iter__(self) -> Iterator[av.VideoFrame]:
        deadline = time.monotonic() + self.time_limit
        with open_video(self.path, time_limit=self.time_limit) as (container, stream):
            self.is_first_track = stream.index == container.streams.video[0].index
            rate, tick = average_rate(stream), stream.time_base or Fraction(0)
            step = round(1 / (rate * tick)) if rate and tick else 0
            count, end = 0, 0
            for packet in self._packets(container, stream):
                for frame in self._decode(packet, stream):
                    count, end = count + 1, max(end, (frame.pts or 0) + (frame.duration or step))
                    yield frame
                if time.monotonic() > deadline:
                    raise VideoError(self.path, f"takes longer than {self.time_limit:g} s to decode")
            self.missing = missing_seconds(
                stated_seconds(container, stream, rate=rate),
                end=float(end * tick),
                stated_frames=stream.frames,
                frames=count + self.skipped,
            )

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet | None]:
        """Yields the track's packets. The last one has no data and flushes the decoder."""
        try:
            yield from container.demux(stream)
        except av.error.ExitError:
            raise VideoError(self.path, f"takes longer than {self.time_limit:g} s to decode") from None
        except (av.FFmpegError, OSError):
            self.skipped += 1
            yield None

    def _decode(self, packet: av.Packet | None, stream: VideoStream) -> list[av.VideoFrame]:
        try:
            return stream.codec_context.decode(None) if packet is None else packet.decode()
        except (av.FFmpegError, OSError):
            self.skipped += 1
            return []


def decode_indices(path: Path, indices: Collection[int], *, time_limit: float) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes from the start up to the largest index.

    Only the given frames are converted. If a video changes its size on the way, pictures are scaled to the size of the
    first one, as ffmpeg does.

    Yields:
        Each index once, in rising order, and its picture, uint8 `[H, W, C]`.

    Raises:
        VideoError: the file cannot be read, takes too long or ends before the largest index.
    """
    seen = 0
    for index, picture in _pick(enumerate(FrameDecoder(path, time_limit=time_limit)), indices):
        seen += 1
        yield index, picture
    if seen < len(set(indices)):
        wanted = len(set(indices))
        raise VideoError(path, f"ends before frame {max(indices)}; it gives {seen} of {wanted} asked for")


def seek_indices(path: Path, indices: Collection[int], *, time_limit: float) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes from the key frame before the smallest index on.

    The pictures are those of `decode_indices`. This suits files whose `Clock` tells which frame is which. If it turns
    out not to, missing frames are decoded from the start.

    Yields:
        Each index once, in any order, and its picture, uint8 `[H, W, C]`.

    Raises:
        VideoError: the file cannot be read, takes too long or ends before the largest index.
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
    """Yields the pictures of the given frames. Each comes once, up to the last one."""
    missing = set(indices)
    reformatter, size, orientation = VideoReformatter(), None, None
    for index, frame in numbered:
        if size is None:  # all pictures of a video are shown as its first one is
            size, orientation = (frame.width, frame.height), orientation_of(frame)
        if index in missing:
            missing.remove(index)
            yield index, to_rgb(frame, reformatter, size=size, orientation=orientation)
            if not missing:
                break


def to_rgb(
    frame: av.VideoFrame,
    reformatter: VideoReformatter,
    *,
    size: tuple[int | None, int | None] = (None, None),
    orientation: Orientation | None = None,
) -> np.ndarray:
    """Returns a frame's upright picture, uint8 `[H, W, C]`. It is a view of FFmpeg's memory.

    Args:
        frame: the decoded frame.
        reformatter: one for all frames of the file; `frame.to_ndarray` would set up a conversion for each of them,
            which takes longer than decoding it.
        size: width and height before the picture is turned upright. Defaults to the frame's own.
        orientation: how the picture is turned upright. Defaults to the frame's own.
    """
    converted = reformatter.reformat(frame, width=size[0], height=size[1], format="rgb24", threads=1)
    plane = converted.planes[0]
    strides = (plane.line_size, 3, 1)
    image = np.ndarray((converted.height, converted.width, 3), np.uint8, memoryview(plane), strides=strides)
    return turn_upright(image, orientation or orientation_of(frame))
