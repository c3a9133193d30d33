"""Crops: where they lie in a picture, and how to resize only the part that a crop shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from kdvideo.data.clip_spec import EVEN_MIDDLE, USUAL_RESIZING, Interpolation, Resizing

__all__ = [
    "CENTER",
    "Cut",
    "Place",
    "crop_clip",
    "crop_corner",
    "find_cut",
    "resize_frames",
    "spread_places",
    "take_frames",
]

Place = tuple[float, float]  # of a crop between top and bottom and between left and right, both in [0, 1)
CENTER: Place = (0.5, 0.5)
_LAST = math.nextafter(1.0, 0.0)
_REACH = {"bilinear": 1, "bicubic": 2}  # how many pixels a kernel sees to each side


def spread_places(count: int, *, is_wide: bool, center: float = 0.5) -> list[Place]:
    """Spreads crops from end to end of the longer side. They lie in the middle of the shorter one.

    Args:
        count: number of crops; a single one is the centre crop.
        is_wide: whether the longer side is the width.
        center: where the middle is, see `ClipSpec.center`.
    """
    if count == 1:
        return [(center, center)]
    along = [min(i / (count - 1), _LAST) for i in range(count)]
    return [(center, place) if is_wide else (place, center) for place in along]


def resize_frames(frames: Tensor, size: Sequence[int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Resizes pictures, with antialiasing. It copies nothing if they have the size already.

    Args:
        frames: uint8 `[..., H, W]`.
        size: height and width, or the shorter side alone, in pixels.
        interpolation: the kernel.
    """
    return F.resize(frames, list(size), interpolation=InterpolationMode(interpolation), antialias=True)


def crop_clip(frames: Tensor, place: Place, *, size: int, flip: bool = False) -> Tensor:
    """Cuts a crop out of all frames of a clip.

    Args:
        frames: uint8 `[T, C, H, W]`, H and W at least `size`.
        place: where the crop lies.
        size: height and width of the crop.
        flip: whether left and right are exchanged.

    Returns:
        uint8 `[C, T, size, size]`.
    """
    top, left = crop_corner(place, frames.shape[-2:], size=size)
    clip = frames[..., top : top + size, left : left + size].transpose(0, 1)
    return clip.flip(-1) if flip else clip


def take_frames(frames: Tensor, places: Sequence[int]) -> Tensor:
    """Returns `frames[places]`, as a view if they are evenly spaced. Copying costs as much as cropping."""
    steps = {later - earlier for earlier, later in pairwise(places)}
    if len(steps) == 1 and (step := steps.pop()) > 0:
        return frames[places[0] : places[-1] + 1 : step]
    return frames[list(places)]


def crop_corner(place: Sequence[float], shape: Sequence[int], *, size: int) -> list[int]:
    """Returns the first row and column of a crop.

    Args:
        place: where the crop lies, each number in [0, 1); see `Place`. EVEN_MIDDLE rounds half a pixel to an even one.
        shape: height and width of the picture, at least `size`.
        size: height and width of the crop.
    """
    return [_corner(part, room - size) for part, room in zip(place, shape, strict=True)]


def _corner(part: float, margin: int) -> int:
    return round(margin / 2) if part == EVEN_MIDDLE else int(part * (margin + 1))


@dataclass(frozen=True)
class Cut:
    """How to make a crop of resized frames from a window of the original frames.

    Attributes:
        window: rows and columns of a frame from which the crop is made.
        shape: height and width to which the window is resized.
        corner: first row and column of the crop in the resized window.
        size: height and width of the crop.
        interpolation: how the window is resized.
    """

    window: tuple[slice, slice]
    shape: tuple[int, int]
    corner: tuple[int, int]
    size: int
    interpolation: Interpolation = "bilinear"

    def of(self, windows: Tensor) -> Tensor:
        """Returns the crops. They equal, to the bit, those of frames that are resized whole.

        Args:
            windows: uint8 `[T, C, h, w]`, `frames[..., *self.window]`.

        Returns:
            uint8 `[T, C, size, size]`.
        """
        top, left = self.corner
        resized = resize_frames(windows, self.shape, self.interpolation)
        return resized[..., top : top + self.size, left : left + self.size]


def find_cut(
    place: Place, frame: tuple[int, int], *, short_side: int, size: int, resizing: Resizing = USUAL_RESIZING
) -> Cut:
    """Finds where in a frame a crop comes from.

    Args:
        place: where the crop lies in the resized frames.
        frame: height and width of the frames.
        short_side: pixels to which their shorter side is resized.
        size: height and width of the crop, at most `short_side`.
        resizing: how they are resized.
    """
    after = resizing.shape(frame, short_side)
    corner = crop_corner(place, after, size=size)
    reach = _REACH[resizing.interpolation]
    axes = [_window(*axis, size, reach) for axis in zip(frame, after, corner, strict=True)]
    window, corner, shape = zip(*axes, strict=True)
    return Cut(window, shape, corner, size, resizing.interpolation)


def _window(before: int, after: int, start: int, size: int, reach: int) -> tuple[slice, int, int]:
    """Finds the pixels of one axis that a crop needs.

    The result's pixels from `start` to `start + size` can be resized from them alone. The weights repeat: 15 pixels
    always become 8 in the same way. A window of whole periods, longer by what a pixel next to its ends sees beyond
    them, is resized as it is within the whole::

        before    |.............. |.............. |.............. |.............. |     240: 16 periods of 15
        after     |.......|.......|.......|.......|                                    128: 16 periods of 8
        crop                  [========]
        window            |...............|  periods 1 and 2

    Returns:
        The pixels to take, the first pixel of the crop in the result, and how many pixels the result has.
    """
    periods = math.gcd(before, after)
    long, short = before // periods, after // periods
    reach *= 1 + short // long
    first = max((start - reach) // short, 0)
    last = min(-(-(start + size + reach) // short), periods)
    return slice(first * long, last * long), start - first * short, (last - first) * short
