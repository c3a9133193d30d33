"""MMAction2's C3D and R(2+1)D-34, files of version 0.x and 1.x."""

import re

from kdvideo.zoo.formats.layout import Layout

__all__ = ["LAYOUTS"]

_C3D_LAYERS = ("1a", "2a", "3a", "3b", "4a", "4b", "5a", "5b")
_SPLIT = {"": "", "conv_s": ".conv_xy", "bn_s": ".norm", "conv_t": ".conv_t"}
_BLOCK = {
    "conv1.conv": "branch2.conv_a",
    "conv1.bn": "branch2.norm_a",
    "conv2.conv": "branch2.conv_b",
    "conv2.bn": "branch2.norm_b",
    "downsample.conv": "branch1_conv",
    "downsample.bn": "branch1_norm",
}
_STEM = {
    "conv.conv_s": "blocks.0.conv_xy",
    "conv.bn_s": "blocks.0.norm",
    "conv.conv_t": "blocks.0.conv_t",
    "bn": "blocks.1",
}


def _rename_c3d(key: str) -> str | None:
    module, _, leaf = key.rpartition(".")
    if module in ("fc6", "fc7"):
        return f"blocks.{len(_C3D_LAYERS)}.{key}"
    layer = module.removeprefix("conv").removesuffix(".conv")
    return f"blocks.{_C3D_LAYERS.index(layer)}.conv.{leaf}" if layer in _C3D_LAYERS else None


def _rename_r2plus1d(key: str) -> str | None:
    module, _, leaf = key.rpartition(".")
    if module.startswith("conv1."):
        place = _STEM.get(module.removeprefix("conv1."))
        return None if place is None else f"blocks.0.{place}.{leaf}"
    match = re.fullmatch(r"layer([1-4])\.(\d+)\.(\w+\.\w+)\.?(\w*)", module)
    if match is None or match[3] not in _BLOCK or match[4] not in _SPLIT:
        return None
    return f"blocks.{match[1]}.res_blocks.{match[2]}.{_BLOCK[match[3]]}{_SPLIT[match[4]]}.{leaf}"


_HEAD = {"cls_head.fc_cls.": "head."}
_UNUSED = {"data_preprocessor.": "the normalisation, which the input convention has"}

LAYOUTS = (
    Layout(
        name="mmaction2-c3d",
        project="MMAction2",
        backbone="c3d_sports1m",
        prefix="backbone.",
        rename=_rename_c3d,
        signature={"conv1a.conv.weight": (64, 3, 3, 3, 3), "fc6.weight": (4096, 8192)},
        clip_specs=("mmaction2-c3d",),
        heads=_HEAD,
        unused=_UNUSED,
    ),
    Layout(
        name="mmaction2-r2plus1d_34",
        project="MMAction2",
        backbone="r2plus1d_34_mmaction2",
        prefix="backbone.",
        rename=_rename_r2plus1d,
        signature={
            "conv1.conv.conv_s.weight": (83, 3, 1, 7, 7),
            "layer3.5.conv2.conv.conv_s.weight": (576, 256, 1, 3, 3),
        },
        clip_specs=("mmaction2-8x8", "mmaction2-32x2"),
        heads=_HEAD,
        unused=_UNUSED,
    ),
)
