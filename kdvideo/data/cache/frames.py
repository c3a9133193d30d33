"""Cached frames of one video: a file's name says what its frames depend on, and a clip is a slice of the mapped file.

A file is an ordinary `.npy`, uint8 `[T, 3, H, W]`::

    frame 0   R: H rows of W   G: H rows of W   B: H rows of W
    frame 1   R ...                                                 a clip of stride s: every s-th frame, a view
    ...

Planes, not pixels, lie one after the other, because networks take planes: a crop's row is then copied in one piece.
"""

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.datasets import VideoRecord
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.resize import Place, crop_corner, spread_places, take_frames

__all__ = ["CachedFrames", "cut_clips", "cut_views", "frames_name", "holds_frames", "map_frames", "map_frames_anew"]

logger = logging.getLogger("kdvideo")
_FORMAT = 1  # raise it when the same video gives other frames, or a file holds them otherwise
_PACKAGES = ("av", "torch", "torchvision")  # packages that decode and resize
_MOST_MAPS = 4096  # a process may have some 65,000
_told = False  # whether this process has named a file that cannot be mapped


class CachedFrames(NamedTuple):
    """Where the frames of one video lie.

    Attributes:
        path: the file, which may be gone.
        short_side: pixels of the frames' shorter side.
    """

    path: Path
    short_side: int


def frames_name(
    record: VideoRecord, *, num_frames: int, revision: int, short_side: int, file_bytes: int, mtime_ns: int
) -> str:
    """Returns the name of a video's file of frames. Everything that the frames depend on is hashed into it.

    The reader is not part of it: it is chosen for giving the frames of a sequential decode, which is what is stored.

    Args:
        record: the video. Its folder does not matter, so a dataset that has moved keeps its cache.
        num_frames: how many frames decoding it gives.
        revision: its `VideoProbe.revision`.
        short_side: pixels to which a frame's shorter side is resized.
        file_bytes: the video file's size.
        mtime_ns: the video file's modification time.
    """
    key = {
        "format": _FORMAT,
        "name": record.name,
        "file_bytes": file_bytes,
        "mtime_ns": mtime_ns,
        "num_frames": num_frames,
        "revision": revision,
        "short_side": short_side,
        "packages": _versions(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    told = re.sub(r"[^A-Za-z0-9-]+", "_", record.path.stem)[:80]  # for people
    return f"{told}-{digest[:24]}.npy"


def holds_frames(path: Path) -> bool:
    """Returns whether a file is there, and is as long as its header says."""
    try:
        _read_layout(path)
    except (OSError, ValueError):
        return False
    return True


def map_frames(path: Path) -> Tensor | None:
    """Maps a file of frames into memory, once in a process. Processes that read it share one copy.

    Returns:
        uint8 `[T, 3, H, W]`; None if there is none now, of which the first one is named in the log. What is written
        into it stays in this process.
    """
    try:
        return _kept_map(path)
    except (OSError, ValueError) as error:
        _tell_once(path, error)
        return None


def map_frames_anew(path: Path) -> Tensor:
    """Maps a file of frames into memory for as long as the tensor lives.

    Returns:
        uint8 `[T, 3, H, W]`. What is written into it stays in this process.

    Raises:
        OSError: the file is gone, or the system maps it not.
        ValueError: it is no file of frames, or is cut off.
    """
    shape, start = _read_layout(path)
    size = start + math.prod(shape)
    try:
        # Unlike NumPy's map, it keeps no file open: workers need their descriptors for batches.
        return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)[start:].view(shape)
    except RuntimeError as error:
        raise OSError(str(error)) from None


_kept_map = lru_cache(maxsize=_MOST_MAPS)(map_frames_anew)  # an error is not kept: it may pass


def cut_clips(
    frames: Tensor, clips: Sequence[ClipFrames], *, places: Sequence[Place], flips: Sequence[bool], size: int
) -> list[Tensor]:
    """Cuts clips out of a video's frames, as views where no clip is mirrored.

    Args:
        frames: uint8 `[T, C, H, W]`.
        clips: frames of each clip.
        places: where each clip's crop lies.
        flips: whether each clip is mirrored left to right.
        size: height and width of the crop.

    Returns:
        uint8 `[C, T, size, size]` each.
    """
    cut = [_cut(frames, clip, place, size) for clip, place in zip(clips, places, strict=True)]
    return [clip.flip(-1) if flip else clip for clip, flip in zip(cut, flips, strict=True)]


def cut_views(
    frames: Tensor, clips: Sequence[ClipFrames], *, num_crops: int, size: int, center: float = 0.5
) -> list[Tensor]:
    """Cuts several crops of each clip out of a video's frames, as `VideoList.read_views` describes.

    Args:
        frames: uint8 `[T, C, H, W]`.
        clips: frames of each clip.
        num_crops: crops of each clip.
        size: height and width of the crops.
        center: where the middle of a picture is, see `ClipSpec.center`.

    Returns:
        uint8 `[C, T, size, size]` each, a clip's crops one after the other.
    """
    height, width = frames.shape[-2:]
    places = spread_places(num_crops, is_wide=width >= height, center=center)
    return [_cut(frames, clip, place, size) for clip in clips for place in places]


def _cut(frames: Tensor, clip: ClipFrames, place: Place, size: int) -> Tensor:
    top, left = crop_corner(place, frames.shape[-2:], size=size)
    return take_frames(frames[..., top : top + size, left : left + size], clip).transpose(0, 1)


def _read_layout(path: Path) -> tuple[tuple[int, ...], int]:
    """Returns the frames' shape, `(T, 3, H, W)`, and the byte at which they begin."""
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        start, size = stream.tell(), os.fstat(stream.fileno()).st_size
    if dtype != np.uint8 or len(shape) != 4 or start + math.prod(shape) != size:
        raise ValueError(f"it has {size} bytes, which are not those that its header says")
    return shape, start


def _tell_once(path: Path, error: Exception) -> None:
    """Names a file that cannot be mapped, the first one of this process."""
    global _told
    if not _told:
        reason = getattr(error, "strerror", None) or error
        logger.warning("frame cache: %s cannot be read (%s): its video is decoded, as are others like it", path, reason)
    _told = True


@cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _PACKAGES}
