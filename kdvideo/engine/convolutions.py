"""Convolutions in shapes for which a GPU's matrix units have kernels: the same sums in another order.

cuDNN 9 computes a convolution of 3 input channels without matrix units, and copies tensors whose channels are no
multiple of 8. Here frames and neighbouring pixels become channels, and channels are padded with zeros. The parameters
and their names stay as they are.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "convolve_folded",
    "convolve_padded_in_time",
    "convolve_with_padded_channels",
    "fold_clip",
    "suit_matrix_units",
]

DEVICES = frozenset({"cuda"})
MULTIPLE = 8  # channels that one 16-byte load of bf16 or fp16 reads
MOST_FOLDED_CHANNELS = 4  # more input channels fill the matrix units without folding
_Convolve = Callable[..., Tensor]


def suit_matrix_units(network: nn.Module, *, compiled: bool) -> list[str]:
    """Lets the convolutions of a network run in another shape where that is faster: on a GPU, under autocast.

    Anywhere else, each one computes to the bit what it did.

    Args:
        network: the network, changed in place. Its tensors stay as they are.
        compiled: whether `torch.compile` compiles it. Then zero channels cost no pass of their own.

    Returns:
        The names of the changed convolutions.
    """
    changed = []
    for name, module in network.named_modules():
        convolve = _faster_form(module, compiled=compiled)
        if convolve is not None:
            # on the instance: class, hooks and names of tensors stay
            module.forward = partial(_convolve_under_autocast, module, module.forward, convolve)
            changed.append(name)
    return changed


def convolve_folded(clip: Tensor, conv: nn.Conv3d, *, pad_output: bool = False) -> Tensor:
    """Computes a convolution of few channels as a 2D convolution of many.

    Kernel length k, stride s, q = ceil(k / s). In height and width, s neighbouring pixels become channels, and the
    kernel is extended by zeros to length q s. With j = s m + r, 0 <= r < s:

    ::

        sum over j of w[j] x[s y + j]  =  sum over m and r of w[s m + r] x[s (y + m) + r]

        7 taps, stride 2:   w0 w1 w2 w3 w4 w5 w6 0        x0 x1 | x2 x3 | x4 x5 | x6 x7 | ...
        4 taps, stride 1:   w0    w2    w4    w6          x0    | x2    | x4    | x6      channel r = 0
                            w1    w3    w5    0           x1    | x3    | x5    | x7      channel r = 1

    In time, the frames t ... t + k - 1 become channels, so each output frame is one picture:

    ::

        [B, C, T, H, W]  ->  [B T', (frame, row r, column r, C), blocks of H, blocks of W]

    Args:
        clip: `[B, C, T, H, W]`.
        conv: a convolution that `_can_be_folded`.
        pad_output: whether also the output's channels are padded to a multiple of 8. They are cut off again.

    Returns:
        `[B, O, T', H', W']`. In memory channels are innermost.
    """
    channels = conv.out_channels
    extra = -channels % MULTIPLE if pad_output else 0
    weight = _as_weight(F.pad(_fold_weight(conv), (0, 0, 0, 0, 0, 0, 0, extra)))
    pictures = F.conv2d(fold_clip(clip, conv), weight, _pad_bias(conv.bias, extra)).permute(0, 2, 3, 1)
    return _channels_first(pictures[..., :channels].unflatten(0, (len(clip), -1)))


def fold_clip(clip: Tensor, conv: nn.Conv3d) -> Tensor:
    """Makes the pictures that `convolve_folded` convolves, in one pass where it is compiled.

    Args:
        clip: `[B, C, T, H, W]`.
        conv: the convolution.

    Returns:
        `[B T', channels, blocks of H, blocks of W]`, the channels padded to a multiple of 8 and innermost in memory.
    """
    stride, (frames, *kernel) = conv.stride[1], conv.kernel_size
    time, *before = (int(each) for each in conv.padding)
    # A negative number cuts off what no kernel reaches.
    after = [
        stride * ((size + 2 * pad - length) // stride + -(-length // stride)) - size - pad
        for size, pad, length in zip(clip.shape[3:], before, kernel, strict=True)
    ]
    padded = F.pad(clip, (before[1], after[1], before[0], after[0], time, time))
    blocks = padded.unflatten(4, (-1, stride)).unflatten(3, (-1, stride))  # B C T H r W r
    stacked = blocks.unfold(2, frames, 1)  # B C T' H r W r frame
    pictures = stacked.permute(0, 2, 3, 5, 7, 4, 6, 1).flatten(4).flatten(0, 1)  # B T', H, W, channels
    return F.pad(pictures, (0, -pictures.shape[3] % MULTIPLE)).permute(0, 3, 1, 2)


def convolve_with_padded_channels(clip: Tensor, conv: nn.Conv3d) -> Tensor:
    """Computes a convolution with input and output channels padded to multiples of 8. The output's are cut off.

    Args:
        clip: `[B, C, T, H, W]`.
        conv: a convolution of one group, padded by zeros.
    """
    more_in, more_out = -conv.in_channels % MULTIPLE, -conv.out_channels % MULTIPLE
    weight = _as_weight(F.pad(_channels_last(conv.weight), (0, more_in, 0, 0, 0, 0, 0, 0, 0, more_out)))
    if more_in:
        clip = _channels_first(F.pad(_channels_last(clip), (0, more_in)))
    padded = F.conv3d(clip, weight, _pad_bias(conv.bias, more_out), conv.stride, conv.padding, conv.dilation)
    return _channels_first(_channels_last(padded)[..., : conv.out_channels])


def convolve_padded_in_time(conv: nn.Conv3d, clip: Tensor) -> Tensor:
    """Computes the sum of a convolution padded by zeros, with explicit padding in time.

    ::

        2 time steps, kernel 3, padding 1:    (0) x1 x2 (0)   ->   0 x1 x2 0, padding 0

    Args:
        clip: `[B, C, T, H, W]`.
        conv: the convolution.
    """
    assert not isinstance(conv.padding, str)
    time, height, width = conv.padding
    padded = F.pad(clip, (0, 0, 0, 0, time, time))
    return F.conv3d(padded, conv.weight, conv.bias, conv.stride, (0, height, width), conv.dilation, conv.groups)


def _faster_form(module: nn.Module, *, compiled: bool) -> _Convolve | None:
    if type(module) is not nn.Conv3d or not _is_plain(module):
        return None
    if module.in_channels <= MOST_FOLDED_CHANNELS:
        return partial(convolve_folded, pad_output=compiled) if _can_be_folded(module) else None
    odd = module.in_channels % MULTIPLE or module.out_channels % MULTIPLE
    return convolve_with_padded_channels if odd and compiled else None


def _is_plain(conv: nn.Conv3d) -> bool:
    return conv.groups == 1 and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _can_be_folded(conv: nn.Conv3d) -> bool:
    time, height, width = conv.stride
    return time == 1 and height == width <= 2 and conv.dilation == (1, 1, 1)


def _convolve_under_autocast(conv: nn.Conv3d, as_written: _Convolve, convolve: _Convolve, clip: Tensor) -> Tensor:
    kind = clip.device.type
    if kind not in DEVICES or not torch.is_autocast_enabled(kind):
        return as_written(clip)
    return convolve(clip.to(torch.get_autocast_dtype(kind)), conv)  # cast first: the passes move half as much


def _fold_weight(conv: nn.Conv3d) -> Tensor:
    stride, (_, height, width) = conv.stride[1], conv.kernel_size
    padded = F.pad(conv.weight, (0, -width % stride, 0, -height % stride))
    blocks = padded.unflatten(4, (-1, stride)).unflatten(3, (-1, stride))  # O C frame m r m r
    taps = blocks.permute(0, 3, 5, 2, 4, 6, 1).flatten(3)  # O, m, m, channels
    return F.pad(taps, (0, -taps.shape[3] % MULTIPLE))


# The compiler writes a padded tensor, and the gradient of a slice, in the order of the axes, whatever layout they had.
# Hence the channels are the last axis of whatever is padded or cut. Otherwise convolutions copy their inputs.
def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 4, 1)


def _channels_first(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 4, 1, 2, 3)


def _as_weight(weight: Tensor) -> Tensor:
    moved = weight.movedim(-1, 1)
    # Without gradients the compiler forgets that computed tensors were permuted and makes the convolution's output
    # contiguous, but it keeps to as_strided. With gradients it keeps the layout, and as_strided's gradient is slow.
    return moved if torch.is_grad_enabled() else weight.as_strided(moved.shape, moved.stride())


def _pad_bias(bias: Tensor | None, extra: int) -> Tensor | None:
    return bias if bias is None or not extra else F.pad(bias, (0, extra))
