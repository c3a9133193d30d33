"""What one file is: looked at once, so that training neither stumbles over it nor has to ask again."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from torch import Tensor

from kdvideo.data.readers import pyav, torchcodec
from kdvideo.data.readers.decode import TIME_LIMIT, Reader
from kdvideo.data.readers.file_errors import VideoError, reason_of
from kdvideo.data.readers.orientation import Orientation, orientation_of
from kdvideo.data.readers.pyav import Clock
from kdvideo.data.readers.revision import REVISION, is_shown_otherwise

__all__ = ["VideoProbe", "probe"]

_WORTHWHILE = 64  # frames from which on a seek can save anything
_NUM_PROOFS = 4  # about as many pictures, spread over the video, have to come out of a seek exactly


@dataclass(frozen=True)
class VideoProbe:
    """One file.

    Attributes:
        frames: how many a sequential decode delivers.
        fps: the mean rate that the file states, 0.0 where it states none.
        width: of the upright picture, in pixels; 0 without a frame.
        height: of the upright picture, in pixels; 0 without a frame.
        codec: FFmpeg's name of the decoder, "" where the file cannot be opened.
        reader: the fastest one that gives the right frames of this file.
        skipped: how many packets could not be decoded and are left out; of a proxy, those of its source.
        revision: 0 where the file is read as ever, or the number of the change that its reading has seen. What was
            computed from its pictures before does not hold then.
        problem: why there is no frame, in one line; None where there is one.
        missing: seconds that a cut-off file lacks of the length that it states, 0.0 for others; of a proxy, those of
            its source.
    """

    frames: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    reader: Reader = "pyav"
    skipped: int = 0
    revision: int = 0
    problem: str | None = None
    missing: float = 0.0


def probe(path: Path, *, time_limit: float = TIME_LIMIT) -> VideoProbe:
    """Decodes the whole file once, for `time_limit` seconds at most. What is wrong with it is said, not raised."""
    found = VideoProbe()
    try:
        with pyav.open_video(path, time_limit=time_limit) as (container, stream):
            found = replace(found, codec=stream.codec_context.name, fps=float(pyav.average_rate(stream) or 0))
            may_seek = torchcodec.is_right_kind(container, stream)
            every = stream.frames // _NUM_PROOFS if may_seek and stream.frames >= _WORTHWHILE else 0
            clock = Clock.of(stream)
        return _decode_all(path, found, every=every, clock=clock, time_limit=time_limit)
    except ValueError as error:
        return replace(found, problem=reason_of(error))


def _decode_all(path: Path, found: VideoProbe, *, every: int, clock: Clock | None, time_limit: float) -> VideoProbe:
    """Counts, and keeps the last picture of each `every` (none for 0) to hold other readers' against it."""
    pictures: dict[int, Tensor] = {}
    reformatter = VideoReformatter()
    decoder = pyav.FrameDecoder(path, time_limit=time_limit)
    count, alike, shape, otherwise = 0, True, (0, 0), False
    for frame in decoder:
        if count == 0:
            first, shape = _shown_as(frame), pyav.to_rgb(frame, reformatter).shape[:2]
            otherwise = is_shown_otherwise(frame) or not decoder.is_first_track
            every = every if torchcodec.is_right_format(frame) else 0
        if every and (count + 1) % every == 0:
            picture = pyav.to_rgb(frame, reformatter)
            pictures[count] = torch.from_numpy(picture.copy()).permute(2, 0, 1)
        if clock is not None and clock.index(frame.pts) != count:
            clock = None
        alike = alike and not frame.is_corrupt and _shown_as(frame) == first
        count += 1
    if count == 0:
        lost = f": {decoder.skipped} packets cannot be decoded" if decoder.skipped else ""
        raise VideoError(path, f"gives no frame{lost}")
    reader: Reader = "pyav"
    if pictures and alike and not decoder.skipped:
        reader = _find_reader(path, count, pictures, has_clock=clock is not None, time_limit=time_limit)
    return replace(
        found,
        frames=count,
        height=shape[0],
        width=shape[1],
        reader=reader,
        skipped=decoder.skipped,
        missing=decoder.missing,
        revision=REVISION if decoder.skipped or otherwise else 0,
    )


def _shown_as(frame: VideoFrame) -> tuple[int, int, Orientation]:
    return frame.width, frame.height, orientation_of(frame)


def _find_reader(path: Path, count: int, pictures: dict[int, Tensor], *, has_clock: bool, time_limit: float) -> Reader:
    """The first one that gives these pictures `[C, H, W]`; PyAV's own seek opens a file in a third of the time."""
    if has_clock and all(
        np.array_equal(sought.transpose(2, 0, 1), picture.numpy())
        for i, picture in pictures.items()
        for _, sought in pyav.seek_indices(path, [i], time_limit=time_limit)
    ):
        return "seek"
    is_right = torchcodec.torchcodec_loads() and torchcodec.gives(path, num_frames=count, pictures=pictures)
    return "torchcodec" if is_right else "pyav"
