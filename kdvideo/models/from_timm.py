"""Image networks of the timm library, frame by frame. The library is imported when a network is built, not before."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec, Interpolation, Resize
from kdvideo.extras import extra_imports
from kdvideo.models.backbone import Backbone
from kdvideo.models.frames import USUAL_FRAMES, FramesBackbone, as_pair, map_of_tokens
from kdvideo.models.timm_names import rename_lukemelas
from kdvideo.registry import BACKBONES

__all__ = ["TimmBackbone", "TimmNetwork", "build_timm", "find_timm_config", "load_timm"]


_RESIZES: dict[str, Resize] = {"center": "short_side", "squash": "squash"}  # timm's crop_mode


class TimmNetwork(NamedTuple):
    """A network of timm with its weights.

    Attributes:
        backbone: the network without its classifier.
        arguments: those of `build_timm` that build it again.
        classifier: the classifier, or None.
    """

    backbone: Backbone
    arguments: dict[str, Any]
    classifier: nn.Linear | None


class TimmBackbone(FramesBackbone):
    """An image network of timm. A frame's feature is what its classifier would see.

    Args:
        net: timm's network, built with `num_classes=0`.
        clip_spec: the input convention.
    """

    def __init__(self, net: Any, *, clip_spec: ClipSpec) -> None:
        super().__init__(net, clip_spec=clip_spec, num_features=getattr(net, "head_hidden_size", net.num_features))
        self.takes_any_clip = not net.pretrained_cfg.get("fixed_input_size", False)

    def see_features(self, frames: Tensor) -> Tensor:
        """Computes the features of frames, pooled by timm. `[N, C, H, W]` -> `[N, D]`."""
        return self.image_net(frames)

    def see_map(self, frames: Tensor) -> Tensor:
        """Computes the maps of frames, without class tokens. `[N, C, H, W]` -> `[N, D, h, w]`."""
        net: Any = self.image_net
        seen = net.forward_features(frames)
        if seen.dim() == 3:
            tokens = seen[:, getattr(net, "num_prefix_tokens", 0) :]
            patch = getattr(getattr(net, "patch_embed", None), "patch_size", (1, 1))
            return map_of_tokens(tokens, as_pair(patch))
        return seen.permute(0, 3, 1, 2) if str(getattr(net, "output_fmt", "")).endswith("NHWC") else seen


@BACKBONES.register_as("timm", listed=False)
def build_timm(*, model: str = "", pooling: str = "", clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds a network of timm with random weights.

    Args:
        model: its name there, MODEL or MODEL.TAG.
        pooling: timm's `global_pool`. "" for the network's own.
        clip_spec: the input convention. None for that of the tag.

    Raises:
        ValueError: timm does not know the model.
    """
    if not model:
        raise ValueError("backbone 'timm' is built of a model's name: give timm:MODEL as weights")
    spec = clip_spec or _find_clip_spec(find_timm_config(model))
    return _adapt(_create(model, num_classes=0, **_pooled(pooling)), spec)


def describe_feature(*, model: str, pooling: str = "") -> str:
    """Returns in words which feature is taken of a network."""
    pooled = {"": "as the library pools it", "token": "its class token"}.get(pooling, f"pooled by {pooling}")
    return f"timm {model}: the mean over frames of each one's feature, {pooled}"


build_timm.describe_feature = describe_feature  # type: ignore[attr-defined]


def find_timm_config(model: str) -> dict[str, Any]:
    """Returns what timm says of a model: mean, std, input_size, interpolation, crop_pct, license, hf_hub_id, ...

    Raises:
        MissingExtraError: timm is not installed.
        ValueError: timm does not know the model, or the tag.
    """
    with extra_imports():
        import timm
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        raise ValueError(f"timm {timm.__version__} has no model {name!r}: use one of timm.list_models()")
    try:
        found = timm.get_pretrained_cfg(model)
    except RuntimeError:
        raise ValueError(
            f"timm {timm.__version__} has no tag {tag!r} of {name}: use one of timm.list_pretrained('{name}*')"
        ) from None
    if found is None:
        raise ValueError(f"timm {timm.__version__} does not say how the input of {name} is normalised: use another")
    return found.to_dict()


def load_timm(model: str, state: Mapping[str, Tensor]) -> TimmNetwork:
    """Builds a network of timm with its weights.

    Args:
        model: its name there, MODEL or MODEL.TAG.
        state: a state dict that timm takes for it, or one of efficientnet_pytorch.

    Raises:
        ValueError: the model is not known, or the state dict is not one of it.
    """
    config = find_timm_config(model)
    expected = _expected_state(model)
    # timm's own is the mean; the originals are class tokens. DINOv3's ConvNeXts have none.
    pooling = "token" if re.search("dinov3|lingbot", model) and "cls_token" in expected else ""
    state = rename_lukemelas(state, expected)
    layer = config.get("classifier")
    num_classes = len(state.get(f"{layer}.weight", ())) if isinstance(layer, str) else config["num_classes"]
    overlay = {"state_dict": dict(state), "num_classes": num_classes}
    net = _create(model, num_classes=num_classes, pretrained=True, overlay=overlay, **_pooled(pooling))
    classifier = net.get_submodule(layer) if isinstance(layer, str) and num_classes else None
    net.reset_classifier(0)
    backbone = _adapt(net, _find_clip_spec(config))
    fits = isinstance(classifier, nn.Linear) and classifier.in_features == backbone.num_features
    return TimmNetwork(backbone, {"model": model, "pooling": pooling}, classifier if fits else None)


def _expected_state(model: str) -> dict[str, Tensor]:
    """Returns the state dict of a model. Its shapes count: the values are those of no training, or there are none."""
    try:
        with torch.device("meta"):
            return _create(model).state_dict()
    except ValueError:  # earlier releases of timm ask the tensor of their drop-path rates for its values
        return _create(model).state_dict()


def _create(model: str, *, overlay: dict[str, Any] | None = None, **arguments: Any) -> Any:
    with extra_imports():
        import timm
    try:
        return timm.create_model(model, pretrained_cfg_overlay=overlay, **arguments)
    except Exception as error:  # RuntimeError of a state dict, TypeError, AssertionError, ...
        line = " ".join(str(error).split())[:300]
        raise ValueError(f"timm cannot make {model} of this: {line}") from None


def _pooled(pooling: str) -> dict[str, Any]:
    return {"global_pool": pooling} if pooling else {}


def _adapt(net: Any, clip_spec: ClipSpec) -> TimmBackbone:
    backbone = TimmBackbone(net, clip_spec=clip_spec)
    size = net.pretrained_cfg["input_size"][-1]
    if not backbone.takes_any_clip and clip_spec.size != size:
        raise ValueError(f"it takes frames of {size} x {size} only, not of {clip_spec.size} x {clip_spec.size}")
    return backbone


def _find_clip_spec(config: Mapping[str, Any]) -> ClipSpec:
    """Returns the input convention of a tag, as `timm.data.create_transform` reads it."""
    _, height, width = config["input_size"]
    if height != width:
        raise ValueError(f"its frames have {height} x {width} pixels: kdvideo's clips are square")
    how: Any = config.get("interpolation") or "bicubic"
    if how not in (known := get_args(Interpolation)):
        raise ValueError(f"it resizes by {how}; kdvideo can {' and '.join(known)}")
    crop = config.get("crop_mode") or "center"
    if crop not in _RESIZES:
        raise ValueError(f"it crops by {crop}; kdvideo can {' and '.join(_RESIZES)}")
    return replace(
        USUAL_FRAMES,
        size=width,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        short_side=math.floor(width / (config.get("crop_pct") or 0.875)),
        interpolation=how,
        resize=_RESIZES[crop],
        rounding="even",
    )
