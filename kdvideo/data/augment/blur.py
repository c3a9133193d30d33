"""Gaussian blur of many clips, each with its own width, as two products with a banded matrix."""

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["blur_radius", "gaussian_blur"]

_BLOCK = 16  # rows of the result per product; the matrix is zero beyond the radius around them


def blur_radius(size: int) -> int:
    """Returns the radius of SimCLR's kernel in pixels.

    The kernel is a tenth of the picture wide and has an odd number of pixels (arXiv 2002.05709, appendix A).
    """
    return size // 20


def gaussian_blur(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Blurs the frames of each clip.

    Frames are mirrored at their edges; the edge itself is not repeated.

    ::

                             lo   hi                     out[a:b] = matrix[a:b, lo:hi] @ in[lo:hi]
        matrix[a:b] =  | 0 0 * * * * 0 0 0 |             lo, hi = a - radius, b + radius

    Args:
        pixels: float `[K, C, T, S, S]`; overwritten. It is fastest if its memory order is `[K, S, C, T, S]`: row y of
            all planes of a clip is one long row then, and the first product a large one.
        sigma: the width of each clip's blur, `[K]`, in pixels, above 0.

    Returns:
        The blurred clips, shaped as `pixels`; their memory order is `[K, S, C, T, S]`.
    """
    num_clips, channels, num_frames, size, _ = pixels.shape
    radius = blur_radius(size)
    distance = torch.arange(-radius, radius + 1, device=pixels.device)
    weights = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    matrix = (weights @ _shifts(size, radius).to(pixels).flatten(1)).view(num_clips, size, size)
    blocks = [(slice(a, a + _BLOCK), slice(max(a - radius, 0), a + _BLOCK + radius)) for a in range(0, size, _BLOCK)]
    rows = pixels.movedim(-2, 1).reshape(num_clips, size, -1)
    columns = torch.empty_like(rows)
    for out, within in blocks:
        torch.bmm(matrix[:, out, within], rows[:, within], out=columns[:, out])
    rows, columns = (one.view(num_clips, -1, size) for one in (rows, columns))
    for out, within in blocks:  # into memory that is still in the cache
        torch.bmm(columns[..., within], matrix[:, out, within].mT, out=rows[..., out])
    return rows.view(num_clips, size, channels, num_frames, size).movedim(1, -2)


@lru_cache(maxsize=8)
def _shifts(size: int, radius: int) -> Tensor:
    """Returns one matrix per pixel of the kernel, `[2 * radius + 1, size, size]`.

    Matrix r moves pixel i + r - radius to i, mirrored at the edges.
    """
    source = torch.arange(size) + torch.arange(-radius, radius + 1)[:, None]
    mirrored = (size - 1) - ((size - 1) - source.abs()).abs()
    return torch.nn.functional.one_hot(mirrored, size).float()
