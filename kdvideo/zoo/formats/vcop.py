"""The 1-1-1-1 nets of VCOP in the files of PCL, VCOP and RSPNet, and PCL's R(2+1)D-18.

All are built from VCOP's three nets (Xu et al., CVPR 2019), so the keys differ in what is put before and behind them:
PCL and VCOP `base_network.`, RSPNet `encoder_q.encoder.`, IIC nothing. PCL's
R(2+1)D-18 is torchvision's network as a `Sequential`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdvideo.zoo.formats.layout import Layout, Shape
from kdvideo.zoo.formats.torchvision import rename_r2plus1d

__all__ = ["LAYOUTS"]

_STEM = {
    "conv1.temporal_spatial_conv": "blocks.0.conv",
    "bn1": "blocks.0.norm",
}
_SPLIT_STEM = {
    "conv1.spatial_conv": "blocks.0.blocks.0.conv_xy",
    "conv1.bn": "blocks.0.blocks.0.norm",
    "conv1.temporal_conv": "blocks.0.blocks.0.conv_t",
    "bn1": "blocks.0.blocks.1",
}
_PARTS = {
    "conv1": "branch2.conv_a",
    "bn1": "branch2.norm_a",
    "conv2": "branch2.conv_b",
    "bn2": "branch2.norm_b",
    "downsampleconv": "branch1_conv",
    "downsamplebn": "branch1_norm",
}
_SPLIT = {"temporal_spatial_conv": "", "spatial_conv": ".conv_xy", "bn": ".norm", "temporal_conv": ".conv_t"}
_C3D_LAYERS = ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b")


def _rename_c3d(key: str) -> str | None:
    match = re.fullmatch(r"(conv|bn)(\d[ab]?)\.(\w+)", key)
    if match is None or match[2] not in _C3D_LAYERS:
        return None
    return f"blocks.{_C3D_LAYERS.index(match[2])}.{'conv' if match[1] == 'conv' else 'norm'}.{match[3]}"


def _rename_r3d(key: str) -> str | None:
    return _rename_with_stem(key, _STEM)


def _rename_r21d(key: str) -> str | None:
    return _rename_with_stem(key, _SPLIT_STEM)


def _rename_with_stem(key: str, stem: Mapping[str, str]) -> str | None:
    """Renames a key: `conv1`, `bn1` are the stem, `convN.block1.PART[.SPLIT]` the block of stage N - 1."""
    module, _, leaf = key.rpartition(".")
    if module in stem:
        return f"{stem[module]}.{leaf}"
    match = re.fullmatch(r"conv([2-5])\.block1\.(\w+)(?:\.(\w+))?", module)
    if match is None or match[2] not in _PARTS or (match[3] is not None and match[3] not in _SPLIT):
        return None
    split = "" if match[3] is None else _SPLIT[match[3]]
    return f"blocks.{int(match[1]) - 1}.res_blocks.0.{_PARTS[match[2]]}{split}.{leaf}"


@dataclass(frozen=True)
class _Net:
    backbone: str
    rename: Callable[[str], str | None]
    signature: Mapping[str, Shape]


_NETS = {
    "c3d": _Net("c3d", _rename_c3d, {"bn1.weight": (64,), "conv5b.weight": (512, 512, 3, 3, 3)}),
    "r3d": _Net("r3d_10", _rename_r3d, {"conv5.block1.conv2.temporal_spatial_conv.weight": (512, 512, 3, 3, 3)}),
    "r21d": _Net("r2plus1d_10", _rename_r21d, {"conv5.block1.conv2.spatial_conv.weight": (1152, 512, 1, 3, 3)}),
}
_PCL_CLIP_SPECS = ("pcl-residual", "pcl-rgb", "pcl-residual-finetuned")
_PCL_HEADS = {"fc.": "pretext_head.fc.", "projector.mlp.": "projection_head.mlp."}
_PCL_UNUSED = {
    "base_network.linear.": "a classifier that PCL does not use",
    "fc7.": "VCOP's own head",
    "fc8.": "VCOP's own head",
}
_RSPNET_UNUSED = {
    "encoder_q.encoder.linear.": "a classifier that RSPNet does not use",
    "encoder_q.fc": "the heads of RSPNet's two tasks",
    "encoder_k.": "the momentum copy of the encoder",
    "queue": "the queue of negatives",
}


def _layout(name: str, net: _Net, **rest: Any) -> Layout:
    return Layout(name=name, backbone=net.backbone, rename=net.rename, signature=net.signature, **rest)


def _pcl(name: str, net: _Net) -> Layout:
    return _layout(
        f"pcl-{name}",
        net,
        project="PCL and VCOP",
        prefix="base_network.",
        clip_specs=_PCL_CLIP_SPECS,
        heads=_PCL_HEADS,
        unused=_PCL_UNUSED,
    )


def _rspnet(name: str, net: _Net) -> Layout:
    return _layout(
        f"rspnet-{name}",
        net,
        project="RSPNet",
        prefix="encoder_q.encoder.",
        clip_specs=("rspnet",),
        unused=_RSPNET_UNUSED,
    )


def _bare(name: str, net: _Net) -> Layout:
    return _layout(
        f"vcop-{name}",
        net,
        project="IIC, and VCOP's nets alone",
        prefix="",
        clip_specs=_PCL_CLIP_SPECS,
        heads={"linear.": "head."},
    )


def _rename_sequential(key: str) -> str | None:
    """Renames a key of the `Sequential`. `0.` is torchvision's stem, `1.` to `4.` are its layers."""
    place, _, rest = key.partition(".")
    return rename_r2plus1d(f"stem.{rest}" if place == "0" else f"layer{place}.{rest}")


_PCL_R2PLUS1D_18 = Layout(
    name="pcl-r2plus1d_18",
    project="PCL, through SEVERE",
    backbone="r2plus1d_18",
    prefix="base_network.",
    rename=_rename_sequential,
    signature={"0.0.weight": (45, 3, 1, 7, 7), "4.1.conv2.0.3.weight": (512, 1152, 3, 1, 1)},
    clip_specs=_PCL_CLIP_SPECS,
    heads=_PCL_HEADS,
)

LAYOUTS = (
    *(_pcl(name, net) for name, net in _NETS.items()),
    _PCL_R2PLUS1D_18,
    *(_rspnet(name, net) for name, net in _NETS.items() if name != "r3d"),  # RSPNet has no R3D of VCOP's
    *(_bare(name, net) for name, net in _NETS.items()),
)
