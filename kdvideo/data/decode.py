"""Reading frames of a video: frame i is the i-th one that a sequential decode delivers, in display order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor

from kdvideo.data import pyav_reader, torchcodec_reader

__all__ = ["TIME_LIMIT", "Reader", "count_frames", "read_frames"]

Reader = Literal["pyav", "seek", "torchcodec"]
TIME_LIMIT = 120.0  # seconds of decoding after which a file is given up


def count_frames(path: Path, *, time_limit: float = TIME_LIMIT) -> int:
    """How many frames a sequential decode delivers; headers and packet counts are often wrong by a few.

    Raises:
        ValueError: the file cannot be opened, has no video stream, gives no frame or takes longer than `time_limit`
            seconds; says which.
    """
    count = sum(1 for _ in pyav_reader.decode(path, time_limit=time_limit))
    if count == 0:
        raise ValueError(f"video {path} gives no frame")
    return count


def read_frames(
    path: Path | str, indices: Sequence[int], *, reader: Reader = "pyav", time_limit: float = TIME_LIMIT
) -> Tensor:
    """The asked-for frames, in the asked-for order; an index may repeat.

    Args:
        path: the video.
        indices: counted from 0, at least one.
        reader: "pyav" decodes from the start up to the largest index and is always right. "seek" is PyAV, too, from the
            key frame before the smallest index on; "torchcodec" seeks as often as it likes: both to be used where
            `kdvideo.data.probe` has found them right for this file. Without torchcodec that one means "pyav".
        time_limit: seconds; looked at between frames by "pyav" only.

    Returns:
        uint8 `[len(indices), C, H, W]`, RGB, turned upright where the file says so, all of the first frame's size.

    Raises:
        ValueError: the file cannot be opened, ends before the largest index or takes too long.
    """
    path = Path(path)
    if min(indices) < 0:
        raise ValueError(f"frame {min(indices)} of video {path} was asked for: frames are counted from 0")
    if reader == "torchcodec" and torchcodec_reader.torchcodec_loads():
        return torchcodec_reader.read_indices(path, indices)
    if reader == "seek":
        return pyav_reader.seek_indices(path, indices, time_limit=time_limit)
    return pyav_reader.decode_indices(path, indices, time_limit=time_limit)
