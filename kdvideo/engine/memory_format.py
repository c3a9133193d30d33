"""Which weights of a network have their channels innermost in memory."""

from typing import TypeVar

import torch
from torch import nn

__all__ = ["to_channels_last"]

_Module = TypeVar("_Module", bound=nn.Module)


def to_channels_last(module: _Module) -> _Module:
    """Moves the channels of 3D and 2D convolutions' weights innermost in memory.

    `module.to(memory_format=torch.channels_last_3d)` refuses networks that also have weights of 2D convolutions.
    All other tensors stay as they are.

    Args:
        module: the network, changed in place.

    Returns:
        The network.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dim() == 5:
            tensor.data = tensor.data.to(memory_format=torch.channels_last_3d)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):  # position encodings with four axes may be viewed as if they were contiguous
            layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last)
    return module
