"""The table of the library's models that kdvideo knows: which class, which feature, which clips."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from kdvideo.models.from_transformers.adapters import (
    adapt_timesformer,
    adapt_videomae,
    adapt_videoprism,
    adapt_vivit,
    adapt_vjepa2,
)
from kdvideo.models.from_transformers.family import Family, architecture, is_classifier, square_size
from kdvideo.models.from_transformers.images import IMAGE_FAMILIES
from kdvideo.models.from_transformers.video import XCLIPBackbone

__all__ = ["FAMILIES"]

_SEEN = ", which its classifier sees"


def _either(base: str) -> Callable[[Any], str]:
    """Returns the choice between a family's classifier and its bare network."""
    return lambda config: f"{base}ForVideoClassification" if is_classifier(config) else f"{base}Model"


def _either_feature(seen: str, bare: str) -> Callable[[Any], str]:
    return lambda config: f"{seen}{_SEEN}" if is_classifier(config) else bare


def _videoprism_network(config: Any) -> str:
    named = architecture(config)
    if config.model_type == "videoprism":
        return "VideoPrismClipModel"
    return named if named in ("VideoPrismForVideoClassification", "VideoPrismVideoModel") else "VideoPrismVisionModel"


def _videoprism_feature(config: Any) -> str:
    network = _videoprism_network(config)
    if network == "VideoPrismForVideoClassification":
        return f"the layer norm of its attentive pooler{_SEEN}"
    return "the mean of all tokens" if network == "VideoPrismVisionModel" else "its attentive pooler, of length 1"


_VIDEOPRISM = Family(
    "VideoPrism",
    network=_videoprism_network,
    adapt=adapt_videoprism,
    feature=_videoprism_feature,
    clip_len=lambda config: getattr(config, "vision_config", config).num_frames,
    size=lambda config: square_size(getattr(config, "vision_config", config)),
    sampling="uniform",
)

# model_type in config.json -> what is known of it
FAMILIES: Mapping[str, Family] = {
    "videomae": Family(
        "VideoMAE",
        network=_either("VideoMAE"),
        adapt=adapt_videomae,
        feature=_either_feature("fc_norm of the mean of all tokens", "the mean of all tokens"),
        clip_len=attrgetter("num_frames"),
        size=square_size,
        frame_stride=4,  # of the Kinetics checkpoints; those of Something-Something v2 were trained with 2
    ),
    "vjepa2": Family(
        "V-JEPA 2",
        network=_either("VJEPA2"),
        adapt=adapt_vjepa2,
        feature=_either_feature("its attentive pooler", "the mean of all tokens"),
        clip_len=attrgetter("frames_per_clip"),
        size=attrgetter("crop_size"),
        frame_stride=4,
        short_side=lambda size: int(size * 256 / 224),
    ),
    "timesformer": Family(
        "TimeSformer",
        network=_either("Timesformer"),
        adapt=adapt_timesformer,
        feature=_either_feature("its class token", "its class token"),
        clip_len=attrgetter("num_frames"),
        size=square_size,
        frame_stride=32,
    ),
    "vivit": Family(
        "ViViT",
        network=_either("Vivit"),
        adapt=adapt_vivit,
        feature=_either_feature("its class token", "its class token"),
        clip_len=attrgetter("num_frames"),
        size=square_size,
        frame_stride=2,
        offset=True,
        arguments=lambda config: {} if is_classifier(config) else {"add_pooling_layer": False},
    ),
    "videoprism": _VIDEOPRISM,
    "videoprism_vision_model": _VIDEOPRISM,
    "xclip": Family(
        "X-CLIP",
        network=lambda config: "XCLIPModel",
        adapt=lambda net, config, clip_spec: XCLIPBackbone(net, clip_spec=clip_spec),
        feature=lambda config: "the mean over time of its transformer over frames, which it compares with texts",
        clip_len=lambda config: config.vision_config.num_frames,
        size=lambda config: square_size(config.vision_config),
        sampling="uniform",
    ),
    **IMAGE_FAMILIES,
}
