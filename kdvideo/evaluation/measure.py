"""The protocols that look at whole videos, on features and logits that have been computed before."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from kdvideo.evaluation.classify import clip_accuracy, top_k_accuracy, video_probabilities
from kdvideo.evaluation.clip_outputs import ClipOutputs, Views
from kdvideo.evaluation.metrics import retrieval_at_k

__all__ = ["RETRIEVAL_KS", "Measurement", "measure_classes", "measure_retrieval", "measure_scores"]

RETRIEVAL_KS = (1, 5, 10, 20, 50)


@dataclass(frozen=True)
class Measurement:
    """What one protocol says.

    Attributes:
        metrics: shares in [0, 1].
        words: how they were measured, for the entry.
        predicted: the class that each test video was taken for, `[V]`; None where there is none.
    """

    metrics: Mapping[str, float]
    words: str
    predicted: Tensor | None = None


def measure_retrieval(test: ClipOutputs, train: ClipOutputs, *, views: Views) -> Measurement:
    """Whether any of the k nearest training videos has the test video's class, by the cosine of mean features."""
    shares = retrieval_at_k(
        test.video_features,
        train.video_features,
        query_classes=test.classes,
        gallery_classes=train.classes,
        ks=RETRIEVAL_KS,
    )
    words = f"retrieval_{views.name}_at_k: any of the k nearest training videos, mean feature of {views.words}, cosine"
    return Measurement({f"retrieval_{views.name}_at_{k}": share for k, share in shares.items()}, words)


def measure_classes(test: ClipOutputs, *, views: Views) -> Measurement:
    """The network's own answer: the mean of its clips' probabilities, and each clip's beside it."""
    assert test.logits is not None, "a classifier was run"
    words = f"mean probability of {views.words}; clip_accuracy: of each of these"
    video = measure_scores(f"video_accuracy_{views.name}", video_probabilities(test.logits), test, words=words)
    clip_key = "clip_accuracy" + views.name.removeprefix(f"{views.num_clips}clip")
    return Measurement(
        {**video.metrics, clip_key: clip_accuracy(test.logits, test.classes)}, video.words, video.predicted
    )


def measure_scores(name: str, scores: Tensor, test: ClipOutputs, *, words: str) -> Measurement:
    """Top 1 and top 5 of whatever scores classes.

    Args:
        name: the key of top 1.
        scores: of each test video, `[V, C]`.
        test: the videos.
        words: how the scores come about.
    """
    accuracy = top_k_accuracy(scores, test.classes, ks=(1, 5))
    return Measurement({name: accuracy[1], f"{name}_top5": accuracy[5]}, f"{name}: {words}", scores.argmax(dim=1))
