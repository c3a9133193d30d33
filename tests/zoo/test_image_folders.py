"""Image networks of the transformers library, frame by frame: its own features and logits, by its own processor."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_teachers import draw_frames, moved_by_two_steps
from torch import Tensor, nn

from kdvideo.models.from_transformers.library import quiet_library
from kdvideo.models.spec import backbone_of
from kdvideo.zoo import Zoo
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.load import load_model

tf = pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SIZE, FRAMES = 32, 3
_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIZE, "patch_size": 8}
_HALF = {**_SMALL, "intermediate_size": 32}
_TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
_HIERA = {
    "image_size": [64, 64],
    "embed_dim": 8,
    "depths": [1, 1, 1],
    "num_heads": [1, 2, 4],
    "masked_unit_size": [4, 4],
    "num_query_pool": 2,
}
_CLASSES = {"num_labels": 3}


def _clip(**more: Any) -> Any:
    return tf.CLIPConfig(text_config=_TEXT, vision_config=_HALF, projection_dim=12, **more)


def _siglip(**more: Any) -> Any:
    return tf.SiglipConfig(text_config=_TEXT, vision_config=_HALF, **more)


def _pooled(net: Any, x: Tensor) -> Tensor:
    return net(x).pooler_output


def _image_features(net: Any, x: Tensor) -> Tensor:
    return net.get_image_features(x).pooler_output


def _both(net: Any, x: Tensor) -> Tensor:
    tokens = net.dinov2(x).last_hidden_state
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)


# name -> makes the network; the library's feature of its frames
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Tensor], Tensor]]] = {
    "dinov2": (lambda: tf.Dinov2Model(tf.Dinov2Config(**_SMALL)), _pooled),
    "dinov2-classifier": (lambda: tf.Dinov2ForImageClassification(tf.Dinov2Config(**_SMALL, **_CLASSES)), _both),
    "dinov2-registers": (
        lambda: tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(**_SMALL, num_register_tokens=2)),
        _pooled,
    ),
    "dinov3": (lambda: tf.DINOv3ViTModel(tf.DINOv3ViTConfig(**_HALF, num_register_tokens=2)), _pooled),
    "clip": (lambda: tf.CLIPModel(_clip()), _image_features),
    "clip-vision": (lambda: tf.CLIPVisionModel(tf.CLIPVisionConfig(**_HALF)), _pooled),
    "clip-classifier": (
        lambda: tf.CLIPForImageClassification(_clip(**_CLASSES)),
        lambda net, x: net.vision_model(x).last_hidden_state[:, 1:].mean(1),
    ),
    "siglip": (lambda: tf.SiglipModel(_siglip()), _image_features),
    "siglip-vision": (lambda: tf.SiglipVisionModel(tf.SiglipVisionConfig(**_HALF)), _pooled),
    "siglip-classifier": (
        lambda: tf.SiglipForImageClassification(_siglip(**_CLASSES)),
        lambda net, x: net.vision_model(x).last_hidden_state.mean(1),
    ),
    "hiera": (lambda: tf.HieraModel(tf.HieraConfig(**_HIERA)), _pooled),
    "hiera-classifier": (
        lambda: tf.HieraForImageClassification(tf.HieraConfig(**_HIERA, **_CLASSES)),
        lambda net, x: net.hiera(x).pooler_output,
    ),
    "radio": (
        lambda: tf.RadioModel(tf.RadioConfig(**_SMALL, max_img_size=64, num_cls_tokens=3, num_registers=2)),
        lambda net, x: net(x).summary,
    ),
}


# The processors that `AutoImageProcessor` has for them, and how they cut: out of the middle, or the whole, squeezed.
PROCESSORS = {"dinov3": "DINOv3ViT", "clip": "CLIP", "siglip": "Siglip", "radio": "CLIP"}
SQUEEZING = ("DINOv3ViT", "Siglip")
COLORS = {"image_mean": [0.4, 0.45, 0.5], "image_std": [0.2, 0.25, 0.3]}
SHAPES = [(80, 96), (75, 69), (21, 30)]


def write_processor(name: str, folder: Path, size: int) -> None:
    """Writes the preprocessor file beside a network."""
    kind = PROCESSORS.get(name.partition("-")[0], "Bit")
    square = {"height": size, "width": size}
    sides = {"size": {"shortest_edge": size + 4}, "crop_size": square} if kind not in SQUEEZING else {"size": square}
    processor = getattr(tf, f"{kind}ImageProcessor")(**sides, **COLORS, do_normalize=name != "radio")  # it does so
    processor.save_pretrained(folder)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_features_and_logits_are_the_librarys(name: str, tmp_path: Path):
    """From frames that are no square to the mean over frames of its own network's features, fed by its own processor.

    Also after a conversion. One comparison: each resizes, cuts and normalises the frames as it does. DINOv3's processor
    alone does not round resized pixels to whole numbers. So its pixels are up to two steps of 255 apart, and its
    features may be as far apart as two steps in each pixel move them.
    """
    make, feature = NETWORKS[name]
    torch.manual_seed(0)
    net = make().eval()
    for parameter in net.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2)
    with quiet_library():
        net.save_pretrained(tmp_path / "teacher")
    write_processor(name, tmp_path / "teacher", 64 if name.startswith("hiera") else SIZE)
    processor = tf.AutoImageProcessor.from_pretrained(tmp_path / "teacher")
    model, _ = load_model(str(tmp_path / "teacher"))
    convert_weights(str(tmp_path / "teacher"), "converted", zoo=Zoo(tmp_path / "zoo"), licence="mit")
    again, _ = load_model("converted", zoo=Zoo(tmp_path / "zoo"))
    spec = backbone_of(model).clip_spec
    assert backbone_of(again).clip_spec == spec
    transform = replace(spec, clip_len=FRAMES).transform()
    for frames in (draw_frames(FRAMES, *shape) for shape in SHAPES):
        theirs = processor(list(frames), return_tensors="pt")["pixel_values"]
        expected = feature(net, theirs).mean(0, keepdim=True)
        close: dict[str, float] = CLOSE
        if name == "dinov3":
            close = {"rtol": 0, "atol": moved_by_two_steps(lambda x: feature(net, x).mean(0), theirs, spec.std)}
        for one in (model, again):
            backbone = backbone_of(one.eval())
            ours = transform(frames)[None]
            assert backbone.num_features == expected.shape[1]
            torch.testing.assert_close(backbone(ours), expected, **close)
            assert backbone.forward_features(ours).shape[2] == FRAMES
            if hasattr(net, "classifier"):
                torch.testing.assert_close(one(ours), net.classifier(expected), **CLOSE)
