"""A backbone with PCL's heads, and a backbone with a classifier."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kdvideo.models.backbone import Backbone
from kdvideo.models.heads import PCLHead
from kdvideo.registry import BACKBONES, HEADS

__all__ = ["ClassificationModel", "PCLModel", "build_backbone", "build_pcl_model", "takes_option"]


class PCLModel(PCLHead):
    """A `PCLHead` with the backbone that feeds it; parts are named `backbone`, `pretext_head`, `projection_head`.

    Args:
        backbone: gives features `[B, D]`.
        head: made for D features.
    """

    def __init__(self, backbone: Backbone, *, head: PCLHead) -> None:
        super().__init__(pretext_head=head.pretext_head, projection_head=head.projection_head)
        self.backbone = backbone

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Prepared clips `[B, N, C, T, H, W]` -> `feature[B, N, D]`, `pretext_logits[B, P]`, `z[B, 2, E]`.

        All clips go through the backbone in one batch.
        """
        features = self.backbone(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        return {"feature": features, **super().forward(features)}


class ClassificationModel(nn.Module):
    """A backbone with a linear classifier: `[B, C, T, H, W]` -> `[B, num_classes]`.

    Attributes:
        class_names: what its outputs are called, in their order; empty where nobody said.
    """

    def __init__(self, backbone: Backbone, *, num_classes: int) -> None:
        super().__init__()
        self.class_names: Sequence[str] = ()
        self.backbone = backbone
        self.head = HEADS.get("classification_head")(backbone.num_features, num_classes=num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits `[B, num_classes]` of prepared clips `[B, C, T, H, W]`."""
        return self.head(self.backbone(clip))


def takes_option(name: str, option: str) -> bool:
    """Whether the builder of the backbone `name` has a keyword `option`, e.g. "width"."""
    parameters = inspect.signature(BACKBONES.get(name)).parameters
    return option in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def build_backbone(name: str, **kwargs: Any) -> Backbone:
    """The registered backbone `name`, checked against its contract.

    Raises:
        ValueError: an unknown name, an option that this backbone does not have, or what was registered is no backbone.
    """
    for option in kwargs:
        if not takes_option(name, option):
            allowed = ", ".join(inspect.signature(BACKBONES.get(name)).parameters)
            raise ValueError(f"backbone {name!r} has no option {option!r}: leave it out, it takes {allowed}")
    backbone = BACKBONES.get(name)(**kwargs)
    missing = [member for member in ("num_features", "clip_spec", "forward_features") if not hasattr(backbone, member)]
    if missing:
        raise ValueError(
            f"backbone {name!r} gives a {type(backbone).__name__} without {', '.join(missing)}: derive it from "
            "kdvideo.models.Backbone, which says what they are"
        )
    return backbone


def build_pcl_model(
    backbone: Backbone,
    *,
    num_pretext_classes: int = 5,
    tuple_len: int = 3,
    projection_dim: int = 128,
    pretext_head: str = "pretext_head",
) -> PCLModel:
    """PCL's heads on a backbone."""
    head = HEADS.get("pcl_head")(
        backbone.num_features,
        num_classes=num_pretext_classes,
        tuple_len=tuple_len,
        projection_dim=projection_dim,
        pretext_head=pretext_head,
    )
    return PCLModel(backbone, head=head)
