"""Resizing no more of a picture than a crop shows."""

from collections.abc import Sequence
from math import gcd

from torch import Tensor
from torchvision.transforms.v2 import functional as F

__all__ = ["crop_corner", "resize_and_cut"]


def crop_corner(place: Sequence[float], shape: Sequence[int], *, size: int) -> list[int]:
    """The first row and column of a crop.

    Args:
        place: where it lies between top and bottom and between left and right, both in [0, 1).
        shape: height and width of the picture, at least `size`.
        size: height and width of the crop.
    """
    return [int(part * (room - size + 1)) for part, room in zip(place, shape, strict=True)]


def resize_and_cut(frames: Tensor, place: tuple[float, float], *, short_side: int, size: int) -> Tensor:
    """What resizing frames whole and cutting a crop out of them gives, to the bit.

    Args:
        frames: uint8 `[T, C, H, W]`.
        place: of the crop, as in `crop_corner`.
        short_side: pixels to which the shorter side is resized.
        size: height and width of the crop, at most `short_side`.

    Returns:
        uint8 `[T, C, size, size]`.
    """
    before = frames.shape[-2:]
    after = [short_side * side // min(before) for side in before]
    starts = crop_corner(place, after, size=size)
    if list(before) != after:
        needed, starts, shape = zip(*map(_window, before, after, starts, [size] * 2), strict=True)
        frames = F.resize(frames[..., needed[0], needed[1]], list(shape), antialias=True)
    top, left = starts
    return frames[..., top : top + size, left : left + size]


def _window(before: int, after: int, start: int, size: int) -> tuple[slice, int, int]:
    """The pixels of one axis from which those of the result, `start` to `start + size`, can be resized alone.

    The weights repeat: 15 pixels always become 8 in the same way. A window of whole periods, longer by what a pixel
    next to its ends sees beyond them, is resized as it is within the whole::

        before    |.............. |.............. |.............. |.............. |     240: 16 periods of 15
        after     |.......|.......|.......|.......|                                    128: 16 periods of 8
        crop                  [========]
        window            |...............|  periods 1 and 2

    Returns:
        The pixels to take, the first pixel of the crop in the result, and how many pixels the result has.
    """
    periods = gcd(before, after)
    long, short = before // periods, after // periods
    reach = 1 + short // long
    first = max((start - reach) // short, 0)
    last = min(-(-(start + size + reach) // short), periods)
    return slice(first * long, last * long), start - first * short, (last - first) * short
