"""Metrics: reads their names, and computes the shares that several protocols use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Metric",
    "MetricName",
    "majority_share",
    "parse_metric",
    "retrieval_at_k",
    "top_k_accuracy",
    "video_features",
]

_VIEWS = r"(?P<clips>\d+)clip(_(?P<crops>\d+)crop)?"
_NAMES = {  # the names that each protocol uses for its metrics
    "pretext": r"(validation_)?(pretext_accuracy|majority_share|retrieval_at_\d+)",
    "retrieval": rf"retrieval_{_VIEWS}_at_\d+",
    "knn": rf"knn_{_VIEWS}(_top5)?",
    "linear_probe": rf"linear_probe_{_VIEWS}(_top5)?",
    "classify": rf"video_accuracy_{_VIEWS}(_top5)?|clip_accuracy(_(?P<all_crops>\d+)crop)?",
}


@dataclass(frozen=True)
class MetricName:
    """The information in a metric's name.

    Attributes:
        name: the whole name, e.g. "UCF-101-s2/knn_10clip_3crop".
        data: the measured data, e.g. "UCF-101-s2". "" for the split that the model was trained on.
        protocol: the protocol that measures it. None for metrics that other people report.
        num_clips: uniform clips per video. None if the config sets the number.
        num_crops: crops per clip.
    """

    name: str
    data: str = ""
    protocol: str | None = None
    num_clips: int | None = None
    num_crops: int = 1

    @property
    def is_score(self) -> bool:
        """Whether a higher value is better."""
        # The majority's share is a property of the labels.
        return not self.name.endswith(("majority_share", "cross_entropy"))

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share of right answers."""
        return self.is_score and (self.protocol is not None or "accuracy" in self.name)

    @property
    def chance(self) -> str | None:
        """The metric with the score of guessing."""
        start = self.name.removesuffix("pretext_accuracy")
        return f"{start}majority_share" if self.protocol == "pretext" and start != self.name else None


def parse_metric(name: str) -> MetricName:
    """Parses a metric's name from a zoo entry or a run.

    Args:
        name: any name. It may belong to a metric that other people report.
    """
    data, _, own = name.rpartition("/")
    for protocol, pattern in _NAMES.items():
        if match := re.fullmatch(pattern, own):
            views = match.groupdict()
            crops = views.get("crops") or views.get("all_crops")
            clips = views.get("clips")
            return MetricName(name, data, protocol, int(clips) if clips else None, int(crops or 1))
    return MetricName(name, data)


@dataclass(frozen=True)
class Metric:
    """A measured metric.

    Attributes:
        name: the metric's name, which `parse_metric` reads.
        share: the value, in [0, 1].
        num_videos: number of videos that the metric counts.
    """

    name: str
    share: float
    num_videos: int

    @property
    def is_score(self) -> bool:
        """Whether a higher value is better."""
        return parse_metric(self.name).is_score


def majority_share(labels: Tensor) -> float:
    """Computes the chance level, which is the score of always answering the most frequent label.

    Args:
        labels: labels of any shape, `[...]`.

    Returns:
        A share in [0, 1].
    """
    return labels.flatten().bincount().max().item() / labels.numel()


def video_features(clip_features: Tensor) -> Tensor:
    """Averages the features of each video's clips and scales them to length 1: `[V, S, D]` -> `[V, D]`."""
    return F.normalize(clip_features.mean(dim=1), dim=1)


def retrieval_at_k(
    queries: Tensor, gallery: Tensor, *, query_classes: Tensor, gallery_classes: Tensor, ks: Sequence[int]
) -> dict[int, float]:
    """Computes the share of queries with a video of the same class among the k nearest, by cosine.

    Args:
        queries: unit vectors `[Q, D]`.
        gallery: unit vectors `[G, D]`.
        query_classes: the class of each query, `[Q]`.
        gallery_classes: the class of each gallery video, `[G]`.
        ks: values of k. Values above G mean the whole gallery.

    Returns:
        The share in [0, 1] for each k.
    """
    # q = query, g = gallery video, d = feature
    similarity = torch.einsum("qd,gd->qg", queries, gallery)
    nearest = similarity.topk(min(max(ks), len(gallery)), dim=1).indices
    hits = gallery_classes[nearest] == query_classes[:, None]
    return {k: hits[:, :k].any(dim=1).float().mean().item() for k in ks}


def top_k_accuracy(scores: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Computes the share of rows whose class is among the k with the highest scores.

    Args:
        scores: the score of each class, `[V, K]`.
        classes: the class of each row, `[V]`.
        ks: values of k. Values above K mean all classes.

    Returns:
        The share in [0, 1] for each k.
    """
    best = scores.topk(min(max(ks), scores.shape[1]), dim=1).indices
    hits = best == classes[:, None]
    return {k: hits[:, :k].any(dim=1).float().mean().item() for k in ks}
