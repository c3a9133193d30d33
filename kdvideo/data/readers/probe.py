"""Finds out what a file is, once, so that training neither fails on it nor has to ask again."""

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

_WORTHWHILE = 64  # frames; in shorter videos seeking saves nothing
_NUM_PROOFS = 4  # about as many pictures, spread over the video, must be exact after a seek


@dataclass(frozen=True)
class VideoProbe:
    """What is known about one video file.

    Attributes:
        frames: how many frames a sequential decode delivers.
        fps: the mean rate that the file states, 0.0 if it states none.
        width: the upright picture's width in pixels; 0 without a frame.
        height: the upright picture's height in pixels; 0 without a frame.
        codec: FFmpeg's name of the decoder, "" if the file cannot be opened.
        reader: the fastest reader that gives the right frames of this file.
        skipped: how many packets could not be decoded and are left out; for a proxy, those of its source.
        revision: 0 if the file is read as ever. Otherwise the number of the change since which its pictures are others,
            so that nothing computed from them before still holds.
        problem: why there is no frame, in one line; None if there is one.
        missing: seconds that a cut-off file lacks of the length that it states, 0.0 for others; for a proxy, those of
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
    """Decodes the whole file once. Faults are returned, not raised; decoding ends after `time_limit` seconds."""
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
    """Counts the frames and decides which reader is right.

    Every `every`-th picture (none for 0) is kept to compare other readers with.
    """
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
    """Finds the first reader that gives these pictures `[C, H, W]`.

    PyAV's seek comes first, because it opens a file in a third of torchcodec's time.
    """
    if has_clock and all(
        np.array_equal(sought.transpose(2, 0, 1), picture.numpy())
        for i, picture in pictures.items()
        for _, sought in pyav.seek_indices(path, [i], time_limit=time_limit)
    ):
        return "seek"
    is_right = torchcodec.torchcodec_loads() and torchcodec.gives(path, num_frames=count, pictures=pictures)
    return "torchcodec" if is_right else "pyav"
