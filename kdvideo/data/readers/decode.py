"""Reading frames of a video: frame i is the i-th one that a sequential decode delivers, in display order."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.readers import pyav, torchcodec
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.pyav import FrameDecoder

__all__ = ["TIME_LIMIT", "Reader", "count_frames", "iter_frames", "read_frames"]

Reader = Literal["pyav", "seek", "torchcodec"]
TIME_LIMIT = 120.0  # seconds of decoding after which a file is given up


def count_frames(path: Path, *, time_limit: float = TIME_LIMIT) -> int:
    """How many frames a sequential decode delivers; headers and packet counts are often wrong by a few.

    Raises:
        ValueError: the file cannot be opened, has no video stream, gives no frame or takes longer than `time_limit`
            seconds; says which.
    """
    count = sum(1 for _ in FrameDecoder(path, time_limit=time_limit))
    if count == 0:
        raise VideoError(path, "gives no frame")
    return count


def iter_frames(
    path: Path | str, indices: Collection[int], *, reader: Reader = "pyav", time_limit: float = TIME_LIMIT
) -> Iterator[tuple[int, np.ndarray]]:
    """The asked-for frames one at a time, each once, in the order in which the reader has them.

    Args:
        path: the video.
        indices: counted from 0, at least one.
        reader: "pyav" decodes from the start up to the largest index and is always right. "seek" is PyAV, too, from the
            key frame before the smallest index on; "torchcodec" seeks as often as it likes: both to be used where
            `kdvideo.data.readers.probe` has found them right for this file. Without torchcodec that one means "pyav".
        time_limit: seconds; looked at between frames by "pyav" only.

    Yields:
        An index and its picture, uint8 `[H, W, C]`, RGB, turned upright where the file says so, a view of the reader's
        memory; all of the first frame's size.

    Raises:
        ValueError: the file cannot be opened, ends before the largest index or takes too long.
    """
    path = Path(path)
    if min(indices) < 0:
        raise ValueError(f"frame {min(indices)} of video {path} was asked for: frames are counted from 0")
    if reader == "torchcodec" and torchcodec.torchcodec_loads():
        return torchcodec.get_indices(path, indices)
    if reader == "seek":
        return pyav.seek_indices(path, indices, time_limit=time_limit)
    return pyav.decode_indices(path, indices, time_limit=time_limit)


def read_frames(
    path: Path | str,
    indices: Sequence[int],
    *,
    reader: Reader = "pyav",
    time_limit: float = TIME_LIMIT,
    shrink: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Returns the asked-for frames, in the asked-for order; an index may repeat.

    Args:
        path: as `iter_frames`.
        indices: as `iter_frames`.
        reader: as `iter_frames`.
        time_limit: as `iter_frames`.
        shrink: makes of each picture, uint8 `[1, C, H, W]`, what is kept of it, so that large pictures never lie in
            memory together. Defaults to the whole picture.

    Returns:
        uint8 `[len(indices), C, H, W]`, of pictures as `shrink` leaves them.

    Raises:
        ValueError: as `iter_frames`.
    """
    places = defaultdict(list)
    for place, index in enumerate(indices):
        places[index].append(place)
    pictures = np.empty((0, 0, 0, 3), dtype=np.uint8)
    for index, picture in iter_frames(path, places, reader=reader, time_limit=time_limit):
        if shrink is not None:
            whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
            picture = shrink(whole[None])[0].permute(1, 2, 0).numpy()
        if not len(pictures):  # written once, where they stay: memory for many frames costs as much as decoding them
            pictures = np.empty((len(indices), *picture.shape), dtype=np.uint8)
        pictures[places[index]] = picture
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
