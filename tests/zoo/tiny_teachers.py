"""Tiny random models of the transformers library, as folders that its own `save_pretrained` has written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdvideo.models.from_transformers.library import quiet_library

FRAMES, SIZE, CLASSES = 4, 32, ["archery", "bowling", "climbing"]

_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_NAMES = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: place for place, name in enumerate(CLASSES)}}
_SQUARE = {"height": SIZE, "width": SIZE}
_CROP = {"size": {"shortest_edge": 36}, "crop_size": _SQUARE}
# The processors that `AutoVideoProcessor` has for these families take other sizes than all others.
_SIDES = {"VJEPA2VideoProcessor": {"crop_size": SIZE}, "LlavaOnevisionVideoProcessor": {"size": _SQUARE}}
# Not the defaults of any class: who ignores the file is found out.
_COLORS = {"image_mean": [0.4, 0.45, 0.5], "image_std": [0.2, 0.25, 0.3]}


def _videomae(tf: Any, kind: str, **more: Any) -> nn.Module:
    decoder = {f"decoder_{key}": 8 for key in ("hidden_size", "intermediate_size")}
    decoder |= {"decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = tf.VideoMAEConfig(image_size=SIZE, patch_size=8, num_frames=FRAMES, **_SMALL, **decoder, **more)
    return getattr(tf, f"VideoMAE{kind}")(config)


def _vjepa2(tf: Any, kind: str, **more: Any) -> nn.Module:
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
    predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    config = tf.VJEPA2Config(
        crop_size=SIZE, patch_size=8, frames_per_clip=FRAMES, num_pooler_layers=1, **sizes, **predictor, **more
    )
    return getattr(tf, f"VJEPA2{kind}")(config)


def _timesformer(tf: Any, kind: str, **more: Any) -> nn.Module:
    config = tf.TimesformerConfig(image_size=SIZE, patch_size=8, num_frames=FRAMES, **_SMALL, **more)
    return getattr(tf, f"Timesformer{kind}")(config)


def _vivit(tf: Any, kind: str, **more: Any) -> nn.Module:
    config = tf.VivitConfig(image_size=SIZE, tubelet_size=[2, 8, 8], num_frames=FRAMES, **_SMALL, **more)
    return getattr(tf, f"Vivit{kind}")(config)


def _videoprism(tf: Any, kind: str, **more: Any) -> nn.Module:
    layers = {f"num_{part}_layers": 1 for part in ("spatial", "temporal", "auxiliary")}
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    config = tf.VideoPrismVisionConfig(
        image_size=SIZE, tubelet_size=[1, 8, 8], num_frames=FRAMES, **layers, **sizes, **more
    )
    return getattr(tf, f"VideoPrism{kind}")(config)


def _xclip(tf: Any) -> nn.Module:
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 50, "max_position_embeddings": 10}
    time = {
        "mit_hidden_size": 24,
        "mit_intermediate_size": 32,
        "mit_num_hidden_layers": 1,
        "mit_num_attention_heads": 2,
    }
    vision = {"image_size": SIZE, "patch_size": 8, "num_frames": FRAMES, **_SMALL, **time}
    return tf.XCLIPModel(tf.XCLIPConfig(text_config=text, vision_config=vision, projection_dim=24))


_CLASSIFIER, _PRETRAINING = "ForVideoClassification", "ForPreTraining"
# name -> makes the network, and the name of the class that prepares its clips
NETWORKS: dict[str, tuple[Callable[[Any], nn.Module], str]] = {
    "videomae": (lambda tf: _videomae(tf, _CLASSIFIER, **_NAMES), "VideoMAEVideoProcessor"),
    "videomae-pretrained": (
        lambda tf: _videomae(tf, "ForPreTraining", use_mean_pooling=False),
        "VideoMAEVideoProcessor",
    ),
    "vjepa2": (lambda tf: _vjepa2(tf, _CLASSIFIER, **_NAMES), "VJEPA2VideoProcessor"),
    "vjepa2-pretrained": (lambda tf: _vjepa2(tf, "Model"), "VJEPA2VideoProcessor"),
    "timesformer": (lambda tf: _timesformer(tf, _CLASSIFIER, **_NAMES), "TimesformerVideoProcessor"),
    "timesformer-bare": (lambda tf: _timesformer(tf, "Model"), "TimesformerVideoProcessor"),
    "vivit": (lambda tf: _vivit(tf, _CLASSIFIER, **_NAMES), "VivitVideoProcessor"),
    "vivit-bare": (lambda tf: _vivit(tf, "Model"), "VivitVideoProcessor"),
    "videoprism": (lambda tf: _videoprism(tf, _CLASSIFIER, **_NAMES), "LlavaOnevisionVideoProcessor"),
    "videoprism-vision": (lambda tf: _videoprism(tf, "VisionModel"), "LlavaOnevisionVideoProcessor"),
    "videoprism-video": (lambda tf: _videoprism(tf, "VideoModel"), "LlavaOnevisionVideoProcessor"),
    "xclip": (_xclip, "VideoMAEVideoProcessor"),
}


def write_teacher(name: str, folder: Path, *, licence: str = "", seed: int = 0, **saving: Any) -> nn.Module:
    """Writes a tiny model with its preprocessor file. Returns the library's own network, in eval mode.

    Args:
        name: a key of NETWORKS.
        folder: the folder, which is made.
        licence: the licence that README.md states; "" for no README.md.
        seed: seed of all weights, which are large, so that no part of a network goes unnoticed.
        saving: arguments of `save_pretrained`, e.g. `max_shard_size`.
    """
    import transformers as tf

    make, processor = NETWORKS[name]
    net = make(tf)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    with quiet_library():
        net.eval().save_pretrained(folder, **saving)
    getattr(tf, processor)(**_SIDES.get(processor, _CROP), **_COLORS).save_pretrained(folder)
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A tiny model\n")
    return net


def draw_frames(number: int, height: int, width: int) -> Tensor:
    """Returns smooth pictures, uint8 `[T, C, H, W]`, whose memory is that of decoded ones."""
    generator = torch.Generator().manual_seed(height)
    coarse = torch.rand((number, 3, height // 8 + 2, width // 8 + 2), generator=generator) * 255
    frames = functional.interpolate(coarse, size=(height, width), mode="bilinear").to(torch.uint8)
    return frames.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def moved_by_two_steps(see: Callable[[Tensor], Tensor], x: Tensor, std: Sequence[float]) -> float:
    """Returns how far a feature moves if each pixel of `[..., 3, H, W]` moves by two of its 255 steps, up or down."""
    step = 2 / torch.tensor(std).view(3, 1, 1).mul(255)
    signs = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return (see(x + signs * step) - see(x)).abs().max().item()


def edit_json(path: Path, **changes: Any) -> None:
    """Changes keys of a JSON file. None removes a key."""
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
