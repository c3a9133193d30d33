"""torchvision's video networks, and IG65M's R(2+1)D-34 (VMZ), which is written as one of its ResNets."""

import re
from collections.abc import Mapping

from kdvideo.zoo.formats.layout import Layout
from kdvideo.zoo.formats.wrapping import Shape

__all__ = ["LAYOUTS", "rename_r2plus1d", "rename_r3d"]

_STEM = {"0": "conv", "1": "norm"}
_SPLIT_STEM = {"0": "blocks.0.conv_xy", "1": "blocks.0.norm", "3": "blocks.0.conv_t", "4": "blocks.1"}
_BLOCK = {
    "conv1.0": "branch2.conv_a",
    "conv1.0.0": "branch2.conv_a.conv_xy",
    "conv1.0.1": "branch2.conv_a.norm",
    "conv1.0.3": "branch2.conv_a.conv_t",
    "conv1.1": "branch2.norm_a",
    "conv2.0": "branch2.conv_b",
    "conv2.0.0": "branch2.conv_b.conv_xy",
    "conv2.0.1": "branch2.conv_b.norm",
    "conv2.0.3": "branch2.conv_b.conv_t",
    "conv2.1": "branch2.norm_b",
    "downsample.0": "branch1_conv",
    "downsample.1": "branch1_norm",
}


def rename_r3d(key: str) -> str | None:
    """Returns kdvideo's name for a key of `r3d_18`, or None."""
    return _rename(key, _STEM)


def rename_r2plus1d(key: str) -> str | None:
    """Returns kdvideo's name for a key of `r2plus1d_18`, or None."""
    return _rename(key, _SPLIT_STEM)


def _rename(key: str, stem: Mapping[str, str]) -> str | None:
    module, _, leaf = key.rpartition(".")
    if module.startswith("stem."):
        place = stem.get(module.removeprefix("stem."))
        return None if place is None else f"blocks.0.{place}.{leaf}"
    match = re.fullmatch(r"layer([1-4])\.(\d+)\.(.+)", module)
    if match is None or match[3] not in _BLOCK:
        return None
    return f"blocks.{match[1]}.res_blocks.{match[2]}.{_BLOCK[match[3]]}.{leaf}"


def _same_key(key: str) -> str:
    return key  # the backbone is torchvision's own network


_SWIN_DEEP = "features.4.17.norm1.weight"  # the third stage's last block, but of swin3d_t

# network -> what tells it from the others, and its classifier
_SAME_KEYS: dict[str, tuple[Mapping[str, Shape | None], str]] = {
    "s3d": (
        {"features.0.0.0.weight": (64, 3, 1, 7, 7), "features.15.branch3.1.0.weight": (128, 832, 1, 1, 1)},
        "classifier.1.",
    ),
    "mvit_v1_b": ({"conv_proj.weight": (96, 3, 3, 7, 7), "pos_encoding.spatial_pos": (3136, 96)}, "head.1."),
    "mvit_v2_s": (
        {"conv_proj.weight": (96, 3, 3, 7, 7), "blocks.15.attn.rel_pos_t": (15, 96), "blocks.16.norm1.weight": None},
        "head.1.",
    ),
    "swin3d_t": (
        {"patch_embed.proj.weight": (96, 3, 2, 4, 4), "features.4.5.norm1.weight": (384,), _SWIN_DEEP: None},
        "head.",
    ),
    "swin3d_s": ({"patch_embed.proj.weight": (96, 3, 2, 4, 4), _SWIN_DEEP: (384,)}, "head."),
    "swin3d_b": ({"patch_embed.proj.weight": (128, 3, 2, 4, 4), _SWIN_DEEP: (512,)}, "head."),
}


def _own_keys(name: str) -> Layout:
    signature, classifier = _SAME_KEYS[name]
    return Layout(
        name=f"torchvision-{name}",
        project="torchvision",
        backbone=name,
        prefix="",
        rename=_same_key,
        signature=signature,
        clip_specs=(f"torchvision-{name}",),
        heads={classifier: "head."},
    )


LAYOUTS = (
    Layout(
        name="torchvision-r3d_18",
        project="torchvision",
        backbone="r3d_18",
        prefix="",
        rename=rename_r3d,
        signature={"stem.0.weight": (64, 3, 3, 7, 7), "layer2.1.conv2.0.weight": (128, 128, 3, 3, 3)},
        clip_specs=("torchvision",),
        heads={"fc.": "head."},
    ),
    Layout(
        name="torchvision-mc3_18",
        project="torchvision",
        backbone="mc3_18",
        prefix="",
        rename=_same_key,
        signature={"stem.0.weight": (64, 3, 3, 7, 7), "layer2.1.conv2.0.weight": (128, 128, 1, 3, 3)},
        clip_specs=("torchvision",),
        heads={"fc.": "head."},
    ),
    Layout(
        name="torchvision-r2plus1d_18",
        project="torchvision",
        backbone="r2plus1d_18",
        prefix="",
        rename=rename_r2plus1d,
        signature={"stem.0.weight": (45, 3, 1, 7, 7), "layer2.0.conv2.0.0.weight": (230, 128, 1, 3, 3)},
        clip_specs=("torchvision",),
        heads={"fc.": "head."},
    ),
    Layout(
        name="ig65m-r2plus1d_34",
        project="ig65m-pytorch and VMZ",
        backbone="r2plus1d_34",
        prefix="",
        rename=rename_r2plus1d,
        signature={"stem.0.weight": (45, 3, 1, 7, 7), "layer2.0.conv2.0.0.weight": (288, 128, 1, 3, 3)},
        clip_specs=("ig65m-8", "ig65m-32"),
        heads={"fc.": "head."},
    ),
    *map(_own_keys, _SAME_KEYS),
)
