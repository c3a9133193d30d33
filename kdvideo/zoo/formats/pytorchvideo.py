"""PyTorchVideo's hub weights, and PySlowFast's copies of them, which are the same networks within a `model`.

The backbones are PyTorchVideo's own networks under its names, so only the classifier is renamed.
"""

from collections.abc import Mapping

from kdvideo.zoo.formats.layout import Layout, Shape

__all__ = ["LAYOUTS"]

_CONV_A = "blocks.{}.res_blocks.0.branch2.conv_a.weight".format
_CONV_B = "blocks.{}.res_blocks.0.branch2.conv_b.weight".format
_X3D_STEM = ("blocks.0.conv.conv_t.weight", (24, 3, 1, 3, 3))

# backbone -> its classifier, what tells it from the others, and the input conventions of weights with these keys
_NETWORKS: dict[str, tuple[str, Mapping[str, Shape | None], tuple[str, ...]]] = {
    "c2d_r50": (
        "blocks.6.proj.",
        {"blocks.0.conv.weight": (64, 3, 1, 7, 7), _CONV_A(3): (128, 256, 1, 1, 1)},
        ("c2d_r50",),
    ),
    "i3d_r50": ("blocks.6.proj.", {"blocks.0.conv.weight": (64, 3, 5, 7, 7)}, ("i3d_r50",)),
    "slow_r50": (
        "blocks.5.proj.",
        {"blocks.0.conv.weight": (64, 3, 1, 7, 7), _CONV_B(2): (128, 128, 1, 3, 3)},
        ("slow_r50", "slow_r50_4x16"),
    ),
    "csn_r101": ("blocks.5.proj.", {"blocks.0.conv.weight": (64, 3, 3, 7, 7)}, ("csn_r101",)),
    "r2plus1d_r50": (
        "blocks.5.proj.",
        {"blocks.1.res_blocks.0.branch2.conv_b.conv_t.weight": (64, 64, 3, 1, 1)},
        ("r2plus1d_r50",),
    ),
    # XS, S and M differ in their clips alone
    "x3d_m": (
        "blocks.5.proj.",
        dict([_X3D_STEM, ("blocks.4.res_blocks.7.branch2.conv_a.weight", None)]),
        ("x3d_xs", "x3d_s", "x3d_m"),
    ),
    "x3d_l": (
        "blocks.5.proj.",
        dict([_X3D_STEM, ("blocks.4.res_blocks.14.branch2.conv_a.weight", (432, 192, 1, 1, 1))]),
        ("x3d_l",),
    ),
    "efficient_x3d_s": (
        "projection.model.",
        {"s1.pathway0_stem_conv_xy.kernel.conv.weight": (24, 3, 1, 3, 3)},
        ("efficient_x3d_xs", "efficient_x3d_s"),
    ),
}


def _keep(key: str) -> str:
    return key


def _layout(backbone: str, *, project: str, prefix: str) -> Layout:
    classifier, signature, clip_specs = _NETWORKS[backbone]
    return Layout(
        name=f"{project.lower()}-{backbone}",
        project=project,
        backbone=backbone,
        prefix=prefix,
        rename=_keep,
        signature=signature,
        clip_specs=tuple(f"pytorchvideo-{name}" for name in clip_specs),
        heads={prefix + classifier: "head."},
    )


LAYOUTS = (
    *(_layout(name, project="PyTorchVideo", prefix="") for name in _NETWORKS),
    *(_layout(name, project="PySlowFast", prefix="model.") for name in _NETWORKS),
)
