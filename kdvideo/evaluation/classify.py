"""Classification of videos: top-k accuracy, of the mean over uniform clips of what a classifier says of each."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["clip_accuracy", "spread_over_classes", "top_k_accuracy", "video_accuracy", "video_probabilities"]


def top_k_accuracy(scores: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Share of rows whose class is among the k of the highest score.

    Args:
        scores: `[V, K]`.
        classes: `[V]`.
        ks: values of k; those above K mean all classes.

    Returns:
        k -> share in [0, 1].
    """
    best = scores.topk(min(max(ks), scores.shape[1]), dim=1).indices
    hits = best == classes[:, None]
    return {k: hits[:, :k].any(dim=1).float().mean().item() for k in ks}


def video_probabilities(logits: Tensor) -> Tensor:
    """The mean of the probabilities of a video's clips: `[V, S, K]` -> `[V, K]`."""
    return logits.softmax(dim=-1).mean(dim=1)


def video_accuracy(logits: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Share of videos whose class is among the k of the highest mean probability over their clips.

    Args:
        logits: `[V, S, K]` of S clips a video.
        classes: `[V]`.
        ks: as in `top_k_accuracy`.

    Returns:
        k -> share in [0, 1].
    """
    return top_k_accuracy(video_probabilities(logits), classes, ks=ks)


def clip_accuracy(logits: Tensor, classes: Tensor) -> float:
    """Share of clips whose most probable class is their video's: `[V, S, K]` and `[V]` -> [0, 1]."""
    return (logits.argmax(dim=-1) == classes[:, None]).float().mean().item()


def spread_over_classes(shares: Tensor, known: np.ndarray, *, num_classes: int) -> Tensor:
    """Columns of the classes that a classifier has met, at their places among all, zeros elsewhere.

    Args:
        shares: `[V, n]`.
        known: the class of each column, `[n]`.
        num_classes: C.

    Returns:
        `[V, C]`.
    """
    spread = shares.new_zeros(len(shares), num_classes)
    spread[:, torch.from_numpy(np.asarray(known))] = shares
    return spread
