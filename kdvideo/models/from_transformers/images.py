"""The library's image networks, frame by frame: what is kept of them, and what their feature is."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.frames import USUAL_FRAMES, FramesBackbone, as_pair, map_of_tokens
from kdvideo.models.from_transformers.family import Family, architecture, is_classifier, square_size

__all__ = ["IMAGE_FAMILIES", "ImageBackbone"]


class ImageBackbone(FramesBackbone):
    """An image network of the library that sees each frame, less its classifier.

    Args:
        net: the library's network. A classifier's last layer has become the identity.
        see: computes the features `[N, D]` of frames `[N, C, H, W]` with it.
        body: the part of it that gives tokens. "" if it is that part.
        num_prefix: how many tokens come before those of places.
        num_features: D, the length of a feature.
        clip_spec: the input convention.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        see: Callable[[Any, Tensor], Tensor],
        body: str,
        num_prefix: int,
        num_features: int,
        clip_spec: ClipSpec,
    ) -> None:
        super().__init__(net, clip_spec=clip_spec, num_features=num_features)
        self.see, self.body, self.num_prefix = see, body, num_prefix

    def see_features(self, frames: Tensor) -> Tensor:
        """Computes the features of frames. `[N, C, H, W]` -> `[N, D]`."""
        return self.see(self.image_net, frames)

    def see_map(self, frames: Tensor) -> Tensor:
        """Computes the maps of frames' tokens. `[N, C, H, W]` -> `[N, D, h, w]`."""
        body: Any = getattr(self.image_net, self.body) if self.body else self.image_net
        if body.config.model_type == "hiera":  # its tokens lie in another order
            return body(frames, output_hidden_states=True).reshaped_hidden_states[-1].permute(0, 3, 1, 2)
        tokens = body(frames).last_hidden_state[:, self.num_prefix :]
        return map_of_tokens(tokens, as_pair(body.config.patch_size))


def _pooled(net: Any, frames: Tensor) -> Tensor:
    return net(frames).pooler_output


def _logits(net: Any, frames: Tensor) -> Tensor:
    return net(frames).logits


def _summary(net: Any, frames: Tensor) -> Tensor:
    return net(frames).summary


def _mean_of_tokens(net: Any, frames: Tensor) -> Tensor:
    return net(frames).last_hidden_state.mean(1)


def _compared_with_texts(net: Any, frames: Tensor) -> Tensor:
    return net.get_image_features(frames).pooler_output


def _image_backbone(
    net: Any, config: Any, clip_spec: ClipSpec, *, body: str, see: Callable[[Any, Tensor], Tensor], num_prefix: int
) -> ImageBackbone:
    """Makes a backbone of a classifier, whose feature its last layer sees, or of a bare network."""
    classifies = is_classifier(config)
    num_features = net.classifier.in_features if classifies else config.hidden_size
    if classifies:
        see, net.classifier = _logits, nn.Identity()
    return ImageBackbone(
        net,
        see=see,
        body=body if classifies else "",
        num_prefix=num_prefix,
        num_features=num_features,
        clip_spec=clip_spec,
    )


def _adapt_dino(net: Any, config: Any, clip_spec: ClipSpec) -> ImageBackbone:
    registers = getattr(config, "num_register_tokens", 0)
    return _image_backbone(net, config, clip_spec, body=config.model_type, see=_pooled, num_prefix=1 + registers)


def _adapt_radio(net: Any, config: Any, clip_spec: ClipSpec) -> ImageBackbone:
    length = len(config.summary_idxs) * config.hidden_size
    before = config.num_summary_tokens
    return ImageBackbone(net, see=_summary, body="", num_prefix=before, num_features=length, clip_spec=clip_spec)


def _adapt_hiera(net: Any, config: Any, clip_spec: ClipSpec) -> ImageBackbone:
    see = _mean_of_tokens if _is_pretraining(config) else _pooled
    backbone = _image_backbone(net, config, clip_spec, body="hiera", see=see, num_prefix=0)
    backbone.takes_any_clip = False
    return backbone


def _adapt_pair(net: Any, config: Any, clip_spec: ClipSpec) -> ImageBackbone:
    """Makes a backbone of CLIP or SigLIP: of both halves, of the one that sees, or of a classifier."""
    kind, num_prefix = config.model_type, int(config.model_type.startswith("clip"))
    if not kind.endswith("_vision_model") and not is_classifier(config):
        width = config.projection_dim if num_prefix else config.vision_config.hidden_size
        for name in ("text_model", "text_projection", "logit_scale", "logit_bias"):
            if hasattr(net, name):
                delattr(net, name)
        backbone = ImageBackbone(
            net,
            see=_compared_with_texts,
            body="vision_model",
            num_prefix=num_prefix,
            num_features=width,
            clip_spec=clip_spec,
        )
    else:
        backbone = _image_backbone(
            net,
            config,
            clip_spec,
            body="vision_model",
            see=_pooled,
            num_prefix=num_prefix,
        )
    backbone.takes_any_clip = False
    return backbone


def _is_pretraining(config: Any) -> bool:
    return architecture(config).endswith("ForPreTraining")


def _named(base: str) -> Callable[[Any], str]:
    return lambda config: f"{base}ForImageClassification" if is_classifier(config) else f"{base}Model"


def _family(
    title: str, base: str, adapt: Callable[[Any, Any, ClipSpec], ImageBackbone], bare: str, **more: Any
) -> Family:
    return Family(
        title,
        network=_named(base),
        adapt=adapt,
        feature=lambda config: (
            f"the mean over frames of {'what its classifier sees' if is_classifier(config) else bare}"
        ),
        clip_len=lambda config: USUAL_FRAMES.clip_len,
        size=lambda config: square_size(getattr(config, "vision_config", config)),
        sees="frames",
        frame_stride=USUAL_FRAMES.frame_stride,
        **more,
    )


_TEXTS = "what is compared with texts, before it is scaled to length 1"

# model_type in config.json -> what is known of it
IMAGE_FAMILIES: dict[str, Family] = {
    "dinov2": _family("DINOv2", "Dinov2", _adapt_dino, "its class token"),
    "dinov2_with_registers": _family("DINOv2", "Dinov2WithRegisters", _adapt_dino, "its class token"),
    "dinov3_vit": _family("DINOv3", "DINOv3ViT", _adapt_dino, "its class token"),
    "clip": _family("CLIP", "CLIP", _adapt_pair, _TEXTS),
    "clip_vision_model": _family("CLIP", "CLIPVision", _adapt_pair, "its class token"),
    "siglip": _family("SigLIP", "Siglip", _adapt_pair, _TEXTS),
    "siglip_vision_model": _family("SigLIP", "SiglipVision", _adapt_pair, "its attention head"),
    "hiera": _family(
        "Hiera",
        "Hiera",
        _adapt_hiera,
        "its pooled tokens",
        arguments=lambda config: {"add_pooling_layer": False} if _is_pretraining(config) else {},
    ),
    "radio": _family("RADIO", "Radio", _adapt_radio, "its summary tokens"),
}
