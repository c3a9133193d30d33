"""Makes backbones of the library's video networks: what is kept of them, and what their feature is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.frames import as_pair
from kdvideo.models.from_transformers.family import is_classifier
from kdvideo.models.from_transformers.video import TokenLayout, VideoBackbone, keep_on_device

__all__ = ["adapt_timesformer", "adapt_videomae", "adapt_videoprism", "adapt_vivit", "adapt_vjepa2"]


def _logits(output: Any) -> Tensor:
    return output.logits.flatten(1)  # VideoPrism's have the number of queries, one, between batch and features


def _mean_of_tokens(output: Any) -> Tensor:
    return output.last_hidden_state.mean(1)


def _class_token(output: Any) -> Tensor:
    return output.last_hidden_state[:, 0]


def _video(
    net: Any, config: Any, clip_spec: ClipSpec, *, layout: TokenLayout, bare: Callable[[Any], Tensor]
) -> Backbone:
    """Makes a backbone of a classifier, or of a bare network, whose feature is `bare`."""
    classifies = is_classifier(config)
    if classifies:
        net.classifier = nn.Identity()
    return VideoBackbone(
        net,
        layout=layout if classifies else replace(layout, body=""),
        feature=_logits if classifies else bare,
        num_features=config.hidden_size,
        clip_spec=clip_spec,
    )


def adapt_videomae(net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of a VideoMAE."""
    layout = TokenLayout(body="videomae", patch=(int(config.tubelet_size), *as_pair(config.patch_size)))
    body = net.videomae if is_classifier(config) else net
    keep_on_device(body.embeddings, "position_embeddings")
    return _video(net, config, clip_spec, layout=layout, bare=_mean_of_tokens)


def adapt_vjepa2(net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of a V-JEPA 2."""
    layout = TokenLayout(
        body="vjepa2",
        patch=(config.tubelet_size, *as_pair(config.patch_size)),
        arguments={"skip_predictor": True},
        takes_any_clip=True,
    )
    (net.vjepa2 if is_classifier(config) else net).predictor = None  # 12 layers that no feature needs
    return _video(net, config, clip_spec, layout=layout, bare=_mean_of_tokens)


def adapt_timesformer(net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of a TimeSformer."""
    if config.attention_type == "space_only":
        raise ValueError("its attention_type is space_only: kdvideo takes divided_space_time and joint_space_time")
    layout = TokenLayout(body="timesformer", patch=(1, *as_pair(config.patch_size)), class_token=True, space_first=True)
    return _video(net, config, clip_spec, layout=layout, bare=_class_token)


def adapt_vivit(net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of a ViViT."""
    layout = TokenLayout(body="vivit", patch=tuple(config.tubelet_size), class_token=True)
    return _video(net, config, clip_spec, layout=layout, bare=_class_token)


def adapt_videoprism(net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of a VideoPrism."""
    vision = getattr(config, "vision_config", config)
    layout = TokenLayout(body="vision_model", patch=tuple(vision.tubelet_size))
    if is_classifier(config):
        return _video(net, config, clip_spec, layout=layout, bare=_mean_of_tokens)
    net = getattr(net, "video_model", net)  # of a model that reads texts, too
    pools = hasattr(net, "head")
    return VideoBackbone(
        net,
        layout=layout if pools else replace(layout, body=""),
        feature=_first_pooled if pools else _mean_of_tokens,
        num_features=vision.hidden_size,
        clip_spec=clip_spec,
    )


def _first_pooled(output: Any) -> Tensor:
    return output.pooler_output[:, 0]
