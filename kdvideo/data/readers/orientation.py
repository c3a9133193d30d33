"""How a file's pictures are to be shown: turned by quarters, mirrored, or as they are.

A file states this as a display matrix, which FFmpeg passes on with each frame. A pixel (x, y) of the stored picture is
shown at (x', y')::

    x' = a x + c y        a = -1: mirrored left to right         b, c = 1: the two axes change places
    y' = b x + d y        d = -1: mirrored top to bottom         and a sign there mirrors after that

Phones write all eight ways: the four turns by holding them, the mirrored ones by the camera that looks at its owner.
"""

import struct
from typing import NamedTuple

import av
import numpy as np

__all__ = ["Orientation", "orientation_of", "turn_upright"]

_LARGEST_SKEW = 0.0175  # the tangent of one degree: smaller deviations count as none, as in ffmpeg


class Orientation(NamedTuple):
    """Operations on a stored picture, in this order.

    Attributes:
        transpose: rows become columns.
        flip_x: mirrored left to right.
        flip_y: mirrored top to bottom.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Returns in which of the eight ways a frame is shown.

    Some files ask for a turn that is no quarter; most of them are broken. Their pictures are left as they are.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    if max(abs(b), abs(c)) <= _LARGEST_SKEW * min(abs(a), abs(d)):
        return Orientation(False, a < 0, d < 0)
    if max(abs(a), abs(d)) <= _LARGEST_SKEW * min(abs(b), abs(c)):
        return Orientation(True, c < 0, b < 0)
    return Orientation()


def turn_upright(image: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Turns a picture `[H, W, C]` upright. The result is a view."""
    if orientation.transpose:
        image = image.swapaxes(0, 1)
    if orientation.flip_x:
        image = image[:, ::-1]
    return image[::-1] if orientation.flip_y else image
