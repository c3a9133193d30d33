"""Max pooling of windows that do not overlap, with a backward that the compiler fuses with its neighbours."""

import math
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _triple

__all__ = ["fuse_pooling", "pool_apart"]

DEVICES = frozenset({"cuda"})
LARGEST_WINDOW = 27  # each of its places is one step of the computation
_Window = tuple[int, int, int]


def fuse_pooling(network: nn.Module) -> list[str]:
    """Lets max pooling whose windows do not overlap be `pool_apart` on a GPU: the same values and gradients.

    PyTorch's own backward is a kernel of its own. It fills the gradient with zeros and then adds to it.

    Args:
        network: the network, changed in place. `torch.compile` compiles it.

    Returns:
        The names of the changed modules.
    """
    changed = []
    for name, module in network.named_modules():
        window = _window_apart(module)
        if window is not None:
            module.forward = partial(_pool_on_gpu, module.forward, window)
            changed.append(name)
    return changed


def pool_apart(clip: Tensor, window: _Window) -> Tensor:
    """Computes `max_pool3d` whose stride is its window, values and gradients to the bit.

    The forward notes the place of each window's maximum, and the backward compares each place with it:

    ::

        1 5 | 2 2        maxima 5 2      backward   0 g0 | 0 0
        0 3 | 4 1   ->          ..  ->              ..
                         places 1 2                 (place == own place) * gradient

    Args:
        clip: `[B, C, T, H, W]`. What does not fill a window at its end is left out.
        window: lengths in time, height and width.
    """
    pooled: Tensor = _PoolApart.apply(clip, window)
    return pooled


class _PoolApart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, clip: Tensor, window: _Window) -> Tensor:
        """Returns the maxima. Of equal ones, the first counts; of NaNs, the last, as in PyTorch."""
        sizes = [size // length * length for size, length in zip(clip.shape[2:], window, strict=True)]
        whole = clip[:, :, : sizes[0], : sizes[1], : sizes[2]]
        parts = [
            whole[:, :, t :: window[0], y :: window[1], x :: window[2]] for t, y, x in product(*map(range, window))
        ]
        largest, place = parts[0], torch.zeros_like(parts[0], dtype=torch.uint8)
        for number, part in enumerate(parts[1:], start=1):
            larger = (part > largest) | part.isnan()
            largest, place = torch.where(larger, part, largest), torch.where(larger, number, place)
        ctx.save_for_backward(place)
        ctx.window, ctx.size = window, clip.shape[2:]
        return largest.clone() if len(parts) == 1 else largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gives each window's gradient to its maximum. Channels are innermost in memory."""
        (place,) = ctx.saved_tensors
        time, height, width = ctx.window
        own = torch.arange(math.prod(ctx.window), dtype=torch.uint8, device=place.device)
        spread = torch.where(
            _with_window(place) == own.view(time, 1, height, 1, width, 1), _with_window(gradient), 0
        )  # B T' t H' h W' w C
        pixels = spread.flatten(5, 6).flatten(3, 4).flatten(1, 2).permute(0, 4, 1, 2, 3)
        rest = [size - covered for size, covered in zip(ctx.size, pixels.shape[2:], strict=True)]
        return F.pad(pixels, (0, rest[2], 0, rest[1], 0, rest[0])) if any(rest) else pixels, None


def _with_window(pooled: Tensor) -> Tensor:
    return pooled.permute(0, 2, 3, 4, 1)[:, :, None, :, None, :, None]  # B T' 1 H' 1 W' 1 C


def _pool_on_gpu(as_written: Any, window: _Window, clip: Tensor) -> Tensor:
    pooled: Tensor = pool_apart(clip, window) if clip.device.type in DEVICES else as_written(clip)
    return pooled


def _window_apart(module: nn.Module) -> _Window | None:
    if type(module) is not nn.MaxPool3d or module.ceil_mode or module.return_indices:
        return None
    window, stride = _triple(module.kernel_size), _triple(module.stride)
    apart = window == stride and _triple(module.padding) == (0, 0, 0) and _triple(module.dilation) == (1, 1, 1)
    return window if apart and math.prod(window) <= LARGEST_WINDOW else None
