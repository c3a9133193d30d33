"""Classifiers of VideoMAE's and VideoMAE v2's own code, which names its tensors as timm does.

The distilled ViT-S and ViT-B of VideoMAE v2 (OpenGVLab/VideoMAE2, `distill/vit_{s,b}_k710_dl_from_giant.pth`) are such
files. They become the `transformers` library's VideoMAE, whose position encodings are the same fixed sinusoids.
"""

import re
from functools import partial
from typing import Any

from kdvideo.zoo.formats.layout import Layout

__all__ = ["LAYOUTS", "videomae_layout"]

_BODY = "net.videomae."
_PARTS = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_ATTENTION = "attention.attention."
_SPLIT = {
    "attn.qkv.weight": tuple(f"{_ATTENTION}{part}.weight" for part in ("query", "key", "value")),
    "attn.q_bias": (f"{_ATTENTION}query.bias",),
    "attn.v_bias": (f"{_ATTENTION}value.bias",),
}


def _rename(key: str) -> str | tuple[str, ...] | None:
    module, _, leaf = key.rpartition(".")
    if module == "patch_embed.proj":
        return f"{_BODY}embeddings.patch_embeddings.projection.{leaf}"
    if module == "fc_norm":
        return f"net.fc_norm.{leaf}"
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", key)
    if match is None:
        return None
    layer = f"{_BODY}encoder.layer.{match[1]}."
    if match[2] in _SPLIT:
        return tuple(layer + name for name in _SPLIT[match[2]])
    part = _PARTS.get(match[2].rpartition(".")[0])
    return None if part is None else f"{layer}{part}.{leaf}"


def videomae_layout(
    name: str, *, width: int, depth: int, heads: int, size: int = 224, patch: int = 16, frames: int = 16
) -> Layout:
    """Describes a classifier of VideoMAE's code: mean pooling, `fc_norm`, biases of queries and values alone.

    Args:
        name: the layout's name.
        width: the length of a token.
        depth: the number of blocks.
        heads: the number of attention heads.
        size: height and width of a frame in pixels.
        patch: height and width of a token in pixels. It takes 2 frames.
        frames: frames in a clip.
    """
    config: dict[str, Any] = {
        "model_type": "videomae",
        "architectures": ["VideoMAEForVideoClassification"],
        "image_size": size,
        "patch_size": patch,
        "num_frames": frames,
        "tubelet_size": 2,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "qkv_bias": True,
        "use_mean_pooling": True,
        "layer_norm_eps": 1e-6,
    }
    return Layout(
        name=name,
        project="VideoMAE and VideoMAE v2",
        backbone="transformers",
        prefix="",
        rename=_rename,
        signature={
            "patch_embed.proj.weight": (width, 3, 2, patch, patch),
            "blocks.0.attn.q_bias": (width,),
            f"blocks.{depth - 1}.attn.qkv.weight": (3 * width, width),
            f"blocks.{depth}.attn.qkv.weight": None,
            "fc_norm.weight": (width,),
        },
        clip_specs=("videomae-16x4",),
        heads={"head.": "head."},
        backbone_kwargs={"config": config},
    )


_layout = partial(videomae_layout, depth=12)
LAYOUTS = (
    _layout("videomae-vit_s", width=384, heads=6),
    _layout("videomae-vit_b", width=768, heads=12),
)
