"""Gaussian blur of many clips, each with its own width, as two products with a banded matrix."""

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["blur_radius", "gaussian_blur"]

_BLOCK = 16  # rows of the result made at a time; beyond the radius around them the matrix is zero


def blur_radius(size: int) -> int:
    """SimCLR's kernel is a tenth of the picture wide, an odd number of pixels (arXiv 2002.05709, appendix A)."""
    return size // 20


def gaussian_blur(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Blurs each clip's frames; beyond its edges a picture goes on as in a mirror, the edge itself not repeated.

    ::

                             lo   hi                     out[a:b] = matrix[a:b, lo:hi] @ in[lo:hi]
        matrix[a:b] =  | 0 0 * * * * 0 0 0 |             lo, hi = a - radius, b + radius

    Args:
        pixels: float `[K, C, T, S, S]`.
        sigma: `[K]`, in pixels, above 0.

    Returns:
        As `pixels`.
    """
    size = pixels.shape[-1]
    radius = blur_radius(size)
    distance = torch.arange(-radius, radius + 1, device=pixels.device)
    weights = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    matrix = torch.einsum("kr,rij->kij", weights, _shifts(size, radius).to(pixels))[:, None]  # [K, 1, S, S]
    frames = pixels.flatten(1, 2)
    blocks = [(slice(a, a + _BLOCK), slice(max(a - radius, 0), a + _BLOCK + radius)) for a in range(0, size, _BLOCK)]
    rows = torch.cat([matrix[..., out, within] @ frames[..., within, :] for out, within in blocks], dim=-2)
    both = torch.cat([rows[..., within] @ matrix[..., out, within].mT for out, within in blocks], dim=-1)
    return both.view_as(pixels)


@lru_cache(maxsize=8)
def _shifts(size: int, radius: int) -> Tensor:
    """`[2 * radius + 1, size, size]`: the r-th matrix moves pixel i + r - radius to i, mirrored at the edges."""
    source = torch.arange(size) + torch.arange(-radius, radius + 1)[:, None]
    mirrored = (size - 1) - ((size - 1) - source.abs()).abs()
    return torch.nn.functional.one_hot(mirrored, size).float()
