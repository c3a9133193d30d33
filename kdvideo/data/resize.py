"""Resizing no more of a picture than a crop shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from torch import Tensor
from torchvision.transforms.v2 import functional as F

__all__ = ["Cut", "crop_corner", "plan_cut"]


def crop_corner(place: Sequence[float], shape: Sequence[int], *, size: int) -> list[int]:
    """The first row and column of a crop.

    Args:
        place: where it lies between top and bottom and between left and right, both in [0, 1).
        shape: height and width of the picture, at least `size`.
        size: height and width of the crop.
    """
    return [int(part * (room - size + 1)) for part, room in zip(place, shape, strict=True)]


@dataclass(frozen=True)
class Cut:
    """How to resize frames and cut a crop out of them, from the window around it alone.

    Attributes:
        window: rows and columns of a frame from which the crop is made.
        shape: height and width to which the window is resized.
        corner: first row and column of the crop in that.
        size: height and width of the crop.
    """

    window: tuple[slice, slice]
    shape: tuple[int, int]
    corner: tuple[int, int]
    size: int

    def of(self, windows: Tensor) -> Tensor:
        """What resizing the frames whole and cutting gives, to the bit.

        Args:
            windows: uint8 `[T, C, h, w]`, `frames[..., *self.window]`.

        Returns:
            uint8 `[T, C, size, size]`.
        """
        top, left = self.corner
        resized = F.resize(windows, list(self.shape), antialias=True)  # itself where it has that shape already
        return resized[..., top : top + self.size, left : left + self.size]


def plan_cut(place: tuple[float, float], frame: tuple[int, int], *, short_side: int, size: int) -> Cut:
    """Where in frames of one size a crop comes from.

    Args:
        place: of the crop, as in `crop_corner`.
        frame: height and width of the frames.
        short_side: pixels to which their shorter side is resized.
        size: height and width of the crop, at most `short_side`.
    """
    after = [short_side * side // min(frame) for side in frame]
    corner = crop_corner(place, after, size=size)
    axes = [_window(*axis, size) for axis in zip(frame, after, corner, strict=True)]
    window, corner, shape = zip(*axes, strict=True)
    return Cut(window, shape, corner, size)


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
