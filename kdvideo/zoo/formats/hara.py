"""The R3D-18 of 3D-ResNets-PyTorch (Hara et al.), which has another stem than torchvision's."""

import re

from kdvideo.zoo.formats.layout import Layout

__all__ = ["LAYOUTS"]

_STEM = {"conv1": "conv", "bn1": "norm"}
_BLOCK = {
    "conv1": "branch2.conv_a",
    "bn1": "branch2.norm_a",
    "conv2": "branch2.conv_b",
    "bn2": "branch2.norm_b",
    "downsample.0": "branch1_conv",
    "downsample.1": "branch1_norm",
}


def _rename(key: str) -> str | None:
    module, _, leaf = key.rpartition(".")
    if module in _STEM:
        return f"blocks.0.{_STEM[module]}.{leaf}"
    match = re.fullmatch(r"layer([1-4])\.(\d+)\.(.+)", module)
    if match is None or match[3] not in _BLOCK:
        return None
    return f"blocks.{match[1]}.res_blocks.{match[2]}.{_BLOCK[match[3]]}.{leaf}"


LAYOUTS = (
    Layout(
        name="hara-r3d_18",
        project="3D-ResNets-PyTorch",
        backbone="r3d_18_hara",
        prefix="",
        rename=_rename,
        signature={
            "conv1.weight": (64, 3, 7, 7, 7),
            "layer1.0.conv2.weight": (64, 64, 3, 3, 3),
            "layer2.1.conv2.weight": (128, 128, 3, 3, 3),
            "layer4.0.downsample.0.weight": (512, 256, 1, 1, 1),
        },
        clip_specs=("hara",),
        heads={"fc.": "head."},
    ),
)
