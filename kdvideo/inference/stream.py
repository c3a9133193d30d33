"""Clips from a stream of frames, cut as those of a video file are."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import middles_of
from kdvideo.data.resize import find_cut

__all__ = ["FrameAnswer", "stream_clips"]


@dataclass(frozen=True)
class FrameAnswer:
    """The answer for the clip that ends at a frame.

    Attributes:
        frame: the number of the clip's last frame. The stream's first frame is 0.
        best: classes by probability, or neighbours by similarity.
    """

    frame: int
    best: Sequence[Any]


def stream_clips(frames: Iterable[ArrayLike], spec: ClipSpec, *, every: int = 4) -> Iterator[tuple[int, Tensor]]:
    """Yields clips while frames come. Only the crops of one clip's span are kept.

    ::

        clip_len 3, frame_stride 2, every 4      frame   0 1 2 3 4 5 6 7 8
                                                 clips   x . x . x
                                                                 x . x . x

    The first clip comes as soon as its span is full. A network of sampling "uniform" sees the middles of `clip_len`
    equal parts of the last `clip_len * frame_stride` frames.

    Args:
        frames: decoded pictures, uint8 `[H, W, 3]` or `[3, H, W]`, RGB, all of one size.
        spec: the network's input convention.
        every: number of frames from one clip to the next.

    Yields:
        The number of the clip's last frame, and the clip, uint8 `[3, T, size, size]`.

    Raises:
        ValueError: `every` is below 1, or a frame is no picture of uint8.
    """
    if every < 1:
        raise ValueError(f"`every` is {every}; it must be 1 or more")
    span, places = _places(spec)
    window: deque[Tensor] = deque(maxlen=span)
    for number, frame in enumerate(frames):
        window.append(_crop(_as_picture(frame, number), spec))
        if number + 1 >= span and (number + 1 - span) % every == 0:
            yield number, torch.stack([window[place] for place in places], dim=1)


def _places(spec: ClipSpec) -> tuple[int, Sequence[int]]:
    """Returns how many frames a clip spans, and which of them it has."""
    if spec.sampling == "uniform":
        span = spec.clip_len * spec.frame_stride
        return span, middles_of((0, span - 1), spec.clip_len)
    return spec.extent, range(0, spec.extent, spec.frame_stride)


def _as_picture(frame: ArrayLike, number: int) -> Tensor:
    """Returns a frame as uint8 `[3, H, W]`."""
    picture = frame if isinstance(frame, Tensor) else torch.from_numpy(np.array(frame))  # cameras reuse their buffers
    if picture.dtype != torch.uint8 or picture.dim() != 3 or 3 not in (picture.shape[0], picture.shape[-1]):
        raise ValueError(
            f"frame {number} has shape {tuple(picture.shape)} of {picture.dtype}; it must be uint8 [H, W, 3] or "
            "[3, H, W], RGB"
        )
    return picture.permute(2, 0, 1) if picture.shape[-1] == 3 else picture


def _crop(picture: Tensor, spec: ClipSpec) -> Tensor:
    """Returns the centre crop of a resized picture, uint8 `[3, size, size]`."""
    height, width = picture.shape[-2:]
    cut = find_cut(
        (spec.center, spec.center),
        (height, width),
        short_side=spec.own_short_side,
        size=spec.size,
        resizing=spec.resizing,
    )
    return cut.of(picture[(..., *cut.window)][None])[0].clone()  # a view would keep the whole picture
