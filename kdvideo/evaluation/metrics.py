"""Accuracies of pretext and retrieval."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["majority_share", "retrieval_at_k", "video_features"]


def majority_share(labels: Tensor) -> float:
    """What always answering the most frequent of `labels[...]` scores, in [0, 1]: the chance level of an accuracy."""
    return labels.flatten().bincount().max().item() / labels.numel()


def video_features(clip_features: Tensor) -> Tensor:
    """The mean over a video's clips, of length 1: `[V, S, D]` -> `[V, D]`."""
    return F.normalize(clip_features.mean(dim=1), dim=1)


def retrieval_at_k(
    queries: Tensor, gallery: Tensor, *, query_classes: Tensor, gallery_classes: Tensor, ks: Sequence[int]
) -> dict[int, float]:
    """Share of queries that have a video of their class among the k nearest of the gallery, by cosine.

    Args:
        queries: unit vectors `[Q, D]`.
        gallery: unit vectors `[G, D]`.
        query_classes: `[Q]`.
        gallery_classes: `[G]`.
        ks: values of k; those above G mean the whole gallery.

    Returns:
        k -> share in [0, 1].
    """
    # q = query, g = gallery video, d = feature
    similarity = torch.einsum("qd,gd->qg", queries, gallery)
    nearest = similarity.topk(min(max(ks), len(gallery)), dim=1).indices
    hits = gallery_classes[nearest] == query_classes[:, None]
    return {k: hits[:, :k].any(dim=1).float().mean().item() for k in ks}
