"""Reading frames of a video. Frame i is the i-th one that a sequential decode delivers, in display order."""

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
    """Counts the frames that a sequential decode delivers. Headers are often wrong by a few.

    Raises:
        VideoError: the file cannot be opened, has no video stream, gives no frame or takes longer than `time_limit`
            seconds.
    """
    count = sum(1 for _ in FrameDecoder(path, time_limit=time_limit))
    if count == 0:
        raise VideoError(path, "gives no frame")
    return count


def iter_frames(
    path: Path | str, indices: Collection[int], *, reader: Reader = "pyav", time_limit: float = TIME_LIMIT
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the given frames one at a time, each once.

    Their order is that in which the reader delivers them.

    Args:
        path: the video.
        indices: frame numbers, counted from 0, at least one.
        reader: "pyav" decodes from the start up to the largest index and is always right. "seek" also uses PyAV, from
            the key frame before the smallest index on; "torchcodec" seeks freely. Use these two only if
            `kdvideo.data.readers.probe` has found them right for this file. Without torchcodec, its name means "pyav".
        time_limit: seconds; only "pyav" checks it between frames.

    Yields:
        An index and its picture, uint8 `[H, W, C]`, RGB, turned upright as the file asks for, as a view of the reader's
        memory. All pictures have the first frame's size.

    Raises:
        VideoError: the file cannot be opened, ends before the largest index or takes too long.
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
    """Returns the given frames in the given order. An index may repeat.

    Args:
        path: the video.
        indices: frame numbers, counted from 0, at least one.
        reader: how to read; see `iter_frames`.
        time_limit: seconds; see `iter_frames`.
        shrink: is applied to each picture, uint8 `[1, C, H, W]`, so that large pictures never lie in memory together.
            Defaults to the whole picture.

    Returns:
        uint8 `[len(indices), C, H, W]`, the pictures that `shrink` returns.

    Raises:
        VideoError: the file cannot be opened, ends before the largest index or takes too long.
    """
    places = defaultdict(list)
    for place, index in enumerate(indices):
        places[index].append(place)
    pictures = np.empty((0, 0, 0, 3), dtype=np.uint8)
    for index, picture in iter_frames(path, places, reader=reader, time_limit=time_limit):
        if shrink is not None:
            whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
            picture = shrink(whole[None])[0].permute(1, 2, 0).numpy()
        if not len(pictures):  # written once, where they stay, since memory for many frames costs as much as decoding
            pictures = np.empty((len(indices), *picture.shape), dtype=np.uint8)
        pictures[places[index]] = picture
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
