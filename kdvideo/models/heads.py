"""Heads that sit on a backbone's features: pretext, projection, both (PCL), distillation adapter, classification."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.registry import HEADS

__all__ = [
    "OrderHead",
    "PCLHead",
    "PretextHead",
    "ProjectionHead",
    "classification_head",
    "create_classification_head",
    "create_distillation_head",
    "create_order_head",
    "create_pcl_head",
    "create_pretext_head",
    "create_projection_head",
    "distillation_head",
    "order_head",
    "pcl_head",
    "pretext_head",
    "projection_head",
]


class PretextHead(nn.Module):
    """One linear layer over the concatenated features of a tuple (Tao et al., arXiv 2010.15464, section 3.1)."""

    def __init__(self, in_features: int, *, num_classes: int, tuple_len: int) -> None:
        super().__init__()
        self.tuple_len = tuple_len
        self.num_classes = num_classes
        self.fc = nn.Linear(tuple_len * in_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B, N, D]` of the tuple's N clips -> logits `[B, num_classes]`."""
        return self.fc(features.flatten(1))


class OrderHead(nn.Module):
    """Compares the clips of a tuple pair by pair (Xu et al., CVPR 2019).

    ::

        f1 f2   f1 f3   f2 f3        every pair of features, concatenated
          |       |       |
         Linear, ReLU: the same for all pairs
           \\      |      /
          Linear over the three         -> one logit an order
    """

    def __init__(self, in_features: int, *, num_classes: int, tuple_len: int) -> None:
        super().__init__()
        self.tuple_len = tuple_len
        self.num_classes = num_classes
        self.pairs = tuple(combinations(range(tuple_len), 2))
        self.pair_fc = nn.Linear(2 * in_features, in_features)
        self.fc = nn.Linear(len(self.pairs) * in_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Features `[B, N, D]` of the tuple's N clips -> logits `[B, num_classes]`."""
        pairs = torch.stack([features[:, pair].flatten(1) for pair in self.pairs], dim=1)  # [B, pairs, 2D]
        return self.fc(torch.relu(self.pair_fc(pairs)).flatten(1))


class ProjectionHead(nn.Module):
    """Linear, ReLU, Linear, then unit length: the space of the contrastive loss (arXiv 2010.15464, section 3.2)."""

    def __init__(self, in_features: int, *, out_features: int = 128) -> None:
        super().__init__()
        self.out_features = out_features
        self.mlp = nn.Sequential(
            nn.Linear(in_features, in_features),
            nn.ReLU(inplace=True),
            nn.Linear(in_features, out_features),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features `[..., D]` -> `z[..., out_features]` of length 1."""
        return F.normalize(self.mlp(features), dim=-1)


class PCLHead(nn.Module):
    """Pretext and projection head together, over one tuple's features."""

    def __init__(self, *, pretext_head: PretextHead | OrderHead, projection_head: ProjectionHead) -> None:
        super().__init__()
        self.pretext_head = pretext_head
        self.projection_head = projection_head

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Features `[B, N, D]` -> `pretext_logits[B, P]` and `z[B, 2, E]`.

        z projects the first and the last clip; the clips between carry the pretext operation.
        """
        ends = torch.stack((features[:, 0], features[:, -1]), dim=1)
        return {"pretext_logits": self.pretext_head(features), "z": self.projection_head(ends)}


def create_pretext_head(in_features: int, *, num_classes: int = 5, tuple_len: int = 3) -> PretextHead:
    """A `PretextHead` for `tuple_len` clips and `num_classes` pretext labels (VCP has 5)."""
    return PretextHead(in_features, num_classes=num_classes, tuple_len=tuple_len)


def create_projection_head(in_features: int, *, out_features: int = 128) -> ProjectionHead:
    """A `ProjectionHead` to `out_features` dimensions."""
    return ProjectionHead(in_features, out_features=out_features)


def create_order_head(in_features: int, *, num_classes: int = 6, tuple_len: int = 3) -> OrderHead:
    """An `OrderHead` for `tuple_len` clips and `num_classes` orders (VCOP has 6)."""
    return OrderHead(in_features, num_classes=num_classes, tuple_len=tuple_len)


def create_pcl_head(
    in_features: int,
    *,
    num_classes: int = 5,
    tuple_len: int = 3,
    projection_dim: int = 128,
    pretext_head: str = "pretext_head",
) -> PCLHead:
    """A `PCLHead`: the head of HEADS named `pretext_head`, and `create_projection_head`, on the same features."""
    return PCLHead(
        pretext_head=HEADS.get(pretext_head)(in_features, num_classes=num_classes, tuple_len=tuple_len),
        projection_head=create_projection_head(in_features, out_features=projection_dim),
    )


def create_distillation_head(in_features: int, *, out_features: int) -> nn.Linear:
    """An adapter from a student's features to a teacher's length; one linear layer, thrown away after training."""
    return nn.Linear(in_features, out_features)


def create_classification_head(in_features: int, *, num_classes: int) -> nn.Linear:
    """A linear classifier, `[..., in_features]` -> `[..., num_classes]`."""
    return nn.Linear(in_features, num_classes)


@HEADS.register()
def pretext_head(in_features: int, *, num_classes: int = 5, tuple_len: int = 3) -> PretextHead:
    """See `create_pretext_head`."""
    return create_pretext_head(in_features, num_classes=num_classes, tuple_len=tuple_len)


@HEADS.register()
def projection_head(in_features: int, *, out_features: int = 128) -> ProjectionHead:
    """See `create_projection_head`."""
    return create_projection_head(in_features, out_features=out_features)


@HEADS.register()
def order_head(in_features: int, *, num_classes: int = 6, tuple_len: int = 3) -> OrderHead:
    """See `create_order_head`."""
    return create_order_head(in_features, num_classes=num_classes, tuple_len=tuple_len)


@HEADS.register()
def pcl_head(in_features: int, **kwargs: Any) -> PCLHead:
    """See `create_pcl_head`."""
    return create_pcl_head(in_features, **kwargs)


@HEADS.register()
def distillation_head(in_features: int, *, out_features: int) -> nn.Linear:
    """See `create_distillation_head`."""
    return create_distillation_head(in_features, out_features=out_features)


@HEADS.register()
def classification_head(in_features: int, *, num_classes: int) -> nn.Linear:
    """See `create_classification_head`."""
    return create_classification_head(in_features, num_classes=num_classes)
