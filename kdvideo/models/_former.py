"""Heads and builders under their former names, which the next version removes."""

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.heads import OrderHead, PretextHead, ProjectionHead
from kdvideo.registry import BACKBONES, HEADS

__all__ = ["PCLHead", "create_pcl_head", "create_r2plus1d", "create_r3d"]


class PCLHead(nn.Module):
    """A pretext and a projection head together. Today `PCLModel` itself has both."""

    def __init__(self, *, pretext_head: PretextHead | OrderHead, projection_head: ProjectionHead) -> None:
        super().__init__()
        self.pretext_head = pretext_head
        self.projection_head = projection_head

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Computes both outputs. `[B, N, D]` -> `pretext_logits[B, P]`, `z[B, 2, E]`."""
        ends = torch.stack((features[:, 0], features[:, -1]), dim=1)
        return {"pretext_logits": self.pretext_head(features), "z": self.projection_head(ends)}


def create_pcl_head(
    in_features: int,
    *,
    num_classes: int = 5,
    tuple_len: int = 3,
    projection_dim: int = 128,
    pretext_head: str = "pretext_head",
) -> PCLHead:
    """Builds a `PCLHead` with the pretext head of that name."""
    return PCLHead(
        pretext_head=HEADS.get(pretext_head)(in_features, num_classes=num_classes, tuple_len=tuple_len),
        projection_head=ProjectionHead(in_features, out_features=projection_dim),
    )


def create_r3d(*, depth: int = 10, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the backbone `r3d_10` or `r3d_18`."""
    return BACKBONES.get(f"r3d_{depth}")(width=width, clip_spec=clip_spec)


def create_r2plus1d(*, depth: int = 10, width: int = 64, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds the backbone `r2plus1d_10`, `r2plus1d_18` or `r2plus1d_34`."""
    return BACKBONES.get(f"r2plus1d_{depth}")(width=width, clip_spec=clip_spec)
