"""Colour operations as linear maps of a pixel and its frame's mean colour, so that any chain of them is one map.

    y = A x + B m        x a pixel's RGB, m the mean RGB of its frame; a map is [A | B], 3 x 6

Only contrast needs B: it pulls a frame towards its mean brightness. Nothing is rounded or clipped before the end, so
the result differs from torchvision's, which does both after each step; `benchmarks/augmentation.py` measures by how
much, and how much faster it is.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["apply_color", "color_map"]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as torchvision's grayscale
_GRAY = np.tile(_LUMA, (3, 1))
# NTSC's brightness and two colour axes: a rotation in the plane of the latter changes the hue and nothing else.
_RGB_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_SAME = np.eye(3)
_CHROMA = _SAME - _GRAY
_QUARTER_TURN = np.linalg.inv(_RGB_TO_YIQ) @ np.array([[0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ _RGB_TO_YIQ


def color_map(jitter: Sequence[tuple[str, float]], *, grayscale: bool) -> Tensor:
    """Returns one map for a chain of operations.

    Args:
        jitter: (operation, amount) in the order of application: "brightness", "contrast" and "saturation" with 1 for no
            change, "hue" in turns.
        grayscale: whether all channels become the brightness at the end.

    Returns:
        float32 `[3, 6]`.
    """
    color_map = np.eye(3, 6)
    for operation, amount in jitter:
        if operation == "contrast":
            mean_brightness = _LUMA @ (color_map[:, :3] + color_map[:, 3:])  # after the operations so far
            color_map *= amount
            color_map[:, 3:] += (1 - amount) * mean_brightness
        else:
            color_map = _pixel_map(operation, amount) @ color_map
    if grayscale:
        color_map = _GRAY @ color_map
    return torch.from_numpy(color_map).float()


def apply_color(pixels: Tensor, color: Tensor, *, rows_first: bool) -> Tensor:
    """Maps each clip's colours and clips the result to [0, 255].

    Args:
        pixels: float `[K, 3, T, H, W]` of values in [0, 255].
        color: `[K, C, 6]`, one map per clip, or only the rows of it that are needed.
        rows_first: whether the result's memory order is `[K, H, C, T, W]`, which suits `gaussian_blur`.

    Returns:
        float `[K, C, T, H, W]`.
    """
    means = pixels.mean(dim=(-2, -1))  # [K, 3, T]
    mapped = (color[..., :3] @ pixels.flatten(2)).unflatten(2, pixels.shape[2:])
    shift = (color[..., 3:] @ means)[..., None, None]
    result = mapped
    if rows_first:
        result = torch.empty_like(mapped.movedim(-2, 1), memory_format=torch.contiguous_format).movedim(1, -2)
    return torch.add(mapped, shift, out=result).clamp_(0, 255)


def _pixel_map(operation: str, amount: float) -> np.ndarray:
    if operation == "brightness":
        return amount * _SAME
    if operation == "saturation":
        return amount * _SAME + (1 - amount) * _GRAY
    assert operation == "hue", operation
    # Hue counts from red to green to blue, clockwise in the plane of I and Q.
    return _GRAY + math.cos(2 * math.pi * amount) * _CHROMA + math.sin(2 * math.pi * amount) * _QUARTER_TURN
