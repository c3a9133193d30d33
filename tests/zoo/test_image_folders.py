"""Image networks of the transformers library, frame by frame: its own features and logits, by its own processor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import prepare_clips
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


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_features_and_logits_are_the_librarys(name: str, tmp_path: Path):
    """The mean over frames of the library's features; also after `zoo convert`. The processor's crop is ours, too."""
    make, feature = NETWORKS[name]
    torch.manual_seed(0)
    net = make().eval()
    for parameter in net.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2)
    with quiet_library():
        net.save_pretrained(tmp_path / "teacher")
    size = 64 if name.startswith("hiera") else SIZE
    processor = tf.CLIPImageProcessor(
        size={"shortest_edge": size + 4},
        crop_size={"height": size, "width": size},
        do_normalize=name != "radio",  # RADIO does it itself
        image_mean=[0.4, 0.45, 0.5],
        image_std=[0.2, 0.25, 0.3],
    )
    processor.save_pretrained(tmp_path / "teacher")
    clip = torch.randint(0, 256, (2, 3, FRAMES, size, size), dtype=torch.uint8)
    frames = list(clip.transpose(1, 2).flatten(0, 1))
    theirs = processor(frames, return_tensors="pt", do_resize=False)["pixel_values"]
    model, _ = load_model(str(tmp_path / "teacher"))
    convert_weights(str(tmp_path / "teacher"), "converted", zoo=Zoo(tmp_path / "zoo"), licence="mit")
    for one in (model, load_model("converted", zoo=Zoo(tmp_path / "zoo"))[0]):
        backbone = backbone_of(one.eval())
        spec = backbone.clip_spec
        assert (spec.size, spec.short_side, spec.interpolation) == (size, size + 4, "bicubic")
        ours = prepare_clips(clip, spec)
        torch.testing.assert_close(ours.transpose(1, 2).flatten(0, 1), theirs, **CLOSE)
        expected = feature(net, theirs).unflatten(0, (2, FRAMES)).mean(1)
        assert backbone.num_features == expected.shape[1]
        torch.testing.assert_close(backbone(ours), expected, **CLOSE)
        assert backbone.forward_features(ours).shape[2] == FRAMES
        if hasattr(net, "classifier"):
            torch.testing.assert_close(one(ours), net.classifier(expected), **CLOSE)
