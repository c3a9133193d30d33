"""A backbone with PCL's heads, and a backbone with a classifier."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.heads import PCLHead
from kdvideo.registry import BACKBONES, HEADS

__all__ = ["ClassificationModel", "ModelSpec", "PCLModel", "build_backbone", "build_pcl_model"]


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
    """A backbone with a linear classifier: `[B, C, T, H, W]` -> `[B, num_classes]`."""

    def __init__(self, backbone: Backbone, *, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = HEADS.get("classification_head")(backbone.num_features, num_classes=num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits of a prepared clip."""
        return self.head(self.backbone(clip))


def build_backbone(name: str, **kwargs: Any) -> Backbone:
    """The registered backbone `name`, checked against its contract.

    Raises:
        ValueError: an unknown name.
        TypeError: what was registered is no backbone.
    """
    backbone = BACKBONES.get(name)(**kwargs)
    for attribute in ("num_features", "clip_spec", "forward_features"):
        if not hasattr(backbone, attribute):
            raise TypeError(
                f"backbone {name!r} is a {type(backbone).__name__} without {attribute}: see BACKBONES.__doc__"
            )
    return backbone


def build_pcl_model(
    backbone: Backbone, *, num_pretext_classes: int = 5, tuple_len: int = 3, projection_dim: int = 128
) -> PCLModel:
    """PCL's heads on a backbone."""
    head = HEADS.get("pcl_head")(
        backbone.num_features, num_classes=num_pretext_classes, tuple_len=tuple_len, projection_dim=projection_dim
    )
    return PCLModel(backbone, head=head)


@dataclass(frozen=True)
class ModelSpec:
    """What a `PCLModel` is built from, storable as JSON: the part of a zoo entry that makes its network again.

    Attributes:
        backbone: a name of BACKBONES.
        backbone_kwargs: what its builder takes besides `clip_spec`.
        clip_spec: the input convention.
        num_pretext_classes: answers of the pretext head.
        tuple_len: clips that it looks at.
        projection_dim: length of z.
    """

    backbone: str
    backbone_kwargs: dict[str, Any]
    clip_spec: ClipSpec
    num_pretext_classes: int
    tuple_len: int
    projection_dim: int

    def build(self) -> PCLModel:
        """The network with random weights."""
        return build_pcl_model(
            build_backbone(self.backbone, clip_spec=self.clip_spec, **self.backbone_kwargs),
            num_pretext_classes=self.num_pretext_classes,
            tuple_len=self.tuple_len,
            projection_dim=self.projection_dim,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {**asdict(self), "clip_spec": self.clip_spec.to_dict()}

    @classmethod
    def from_dict(cls, values: Any, *, origin: str) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ValueError: not what `to_dict` gives; `origin` says where it was found.
        """
        try:
            return cls(**{**values, "clip_spec": ClipSpec.from_dict(values["clip_spec"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{origin} does not describe a network of this version: {error}") from None
