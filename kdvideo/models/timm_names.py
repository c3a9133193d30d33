"""Names of efficientnet_pytorch's tensors (github.com/lukemelas/EfficientNet-PyTorch) as timm calls them."""

import re
from collections.abc import Mapping
from itertools import count

from torch import Tensor

__all__ = ["rename_lukemelas"]

_BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)")
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
_PLAIN = {  # the first stage's blocks
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}


def rename_lukemelas(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of an EfficientNet of efficientnet_pytorch. Any other state dict stays as it is.

    Args:
        state: the state dict.
        expected: that of timm's network, whose stages are counted.
    """
    if "_conv_stem.weight" not in state:
        return dict(state)
    blocks = dict.fromkeys(".".join(name.split(".")[:3]) for name in expected if name.startswith("blocks."))
    places = dict(zip(map(str, count()), blocks, strict=False))
    expanding = {found[1] for name in state if (found := _BLOCK.match(name)) and "_expand_conv" in name}
    renamed = {}
    for name, value in state.items():
        found, prefix, rest, names = _BLOCK.match(name), "", name, _OUTER
        if found:
            number, rest = found.groups()
            prefix = f"{places.get(number, f'blocks.{number}')}."
            names = _EXPANDING if number in expanding else _PLAIN
        layer, _, last = rest.rpartition(".")
        renamed[f"{prefix}{names.get(layer, layer)}.{last}"] = value
    return renamed
