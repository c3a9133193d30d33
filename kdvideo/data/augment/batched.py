"""Colours and blur of a whole batch on a GPU: no step waits for the device, and no shape depends on a value.

::

    uint8 [K, C, T, S, S] -> float32 rows [K, S, C, T, S] -> colours -> matrix @ rows -> rows @ matrix.T -> uint8
                             row y of all planes of a clip is one long row, so that a blur is one product a clip

Every clip takes the same path: a clip that stays sharp has the identity as its matrix, which is exact. Half of the blur
is wasted so, and nobody has to ask the device which half.
"""

import torch
from torch import Tensor

from kdvideo.data.augment.blur import blur_radius

__all__ = ["augment_together"]

_NO_BLUR = 0.01  # pixels; the kernel of so small a width is 1 at its centre and 0 elsewhere, to the last bit


def augment_together(clips: Tensor, color: Tensor, blur_sigma: Tensor) -> Tensor:
    """Changes the colours of clips and blurs them, all in the same operations.

    It computes what `augment_clips` does, on any device. On a CPU it takes longer. The products are exact to float32 as
    long as `torch.backends.cuda.matmul.allow_tf32` is off, PyTorch's default; TF32 can move a pixel by 1 of 255.

    Args:
        clips: uint8 `[K, 3, T, S, S]`.
        color: float32 `[K, 3, 6]`.
        blur_sigma: float32 `[K]`, in pixels; 0 leaves a clip sharp.

    Returns:
        uint8, as `clips`.
    """
    rows = _map_colors(clips.movedim(-2, 1).to(torch.float32, memory_format=torch.contiguous_format), color)
    if blur_radius(clips.shape[-1]) > 0:
        rows = _blur_rows(rows, blur_sigma)
    # One half has been added already: cutting off the fraction rounds.
    return rows.movedim(1, -2).to(torch.uint8, memory_format=torch.contiguous_format)


def _map_colors(rows: Tensor, color: Tensor) -> Tensor:
    """Maps colours and clips them to [0, 255], then adds one half.

    Sums of products instead of a matrix product: that is exact with TF32, too, and a matrix of 3 x 3 fills no tile.

    Args:
        rows: float32 `[K, S, 3, T, S]`.
        color: float32 `[K, 3, 6]`.

    Returns:
        float32 `[K, S, 3, T, S]`.
    """
    means = rows.mean(dim=(1, -1))  # [K, 3, T]
    shift = (color[:, :, 3:, None] * means[:, None]).sum(dim=2) + 0.5
    maps, channels = color[:, None, ..., None, None].unbind(3), rows.split(1, dim=2)
    mapped = torch.empty_like(rows)  # named, because broadcasting would choose a memory order of its own
    torch.addcmul(shift[:, None, ..., None], maps[0], channels[0], out=mapped)
    for i in (1, 2):
        mapped.addcmul_(maps[i], channels[i])
    return mapped.clamp_(0.5, 255.5)


def _blur_rows(rows: Tensor, sigma: Tensor) -> Tensor:
    """Blurs `rows[K, S, C, T, S]` along both sides of the pictures."""
    size = rows.shape[1]
    matrix = _blur_matrices(size, sigma)
    columns = torch.bmm(matrix, rows.flatten(2))
    return torch.bmm(columns.view(len(rows), -1, size), matrix.mT).view(rows.shape)


def _blur_matrices(size: int, sigma: Tensor) -> Tensor:
    """Returns the blur of each clip as a matrix, `[K, S, S]`.

    ::

        weight of source j for pixel i  =  kernel(j - i)  +  kernel(-j - i)  +  kernel(2 * last - j - i)
                                           itself            mirrored at the first and at the last pixel

    The positions are made anew each time. A cache would hold tensors of one CUDA graph's memory, or of a fake device.
    """
    place = torch.arange(size, device=sigma.device, dtype=torch.float32)
    last = size - 1  # the edge itself is not repeated
    before = (-place).masked_fill(place == 0, torch.inf)
    after = (2 * last - place).masked_fill(place == last, torch.inf)
    distance = torch.stack([place, before, after])[:, None] - place[:, None]  # [3, S, S]
    squares = distance.square().masked_fill(distance.abs() > blur_radius(size), torch.inf)
    variance = sigma.clamp_min(_NO_BLUR).square()[:, None, None, None]
    matrix = torch.exp(-squares / (2 * variance)).sum(dim=1)
    return matrix / matrix.sum(dim=-1, keepdim=True)
