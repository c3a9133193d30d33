"""Classes of videos by their nearest training videos."""

from functools import partial

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from kdvideo.evaluation.classify import spread_over_classes
from kdvideo.evaluation.clip_outputs import ClipOutputs, Views
from kdvideo.evaluation.measure import Measurement, measure_scores

__all__ = ["knn_scores", "measure_knn"]

# DINO's, which it found best for features of all sizes; fixed, so that nothing is chosen on a test list.
_NUM_NEIGHBORS = 20
_TEMPERATURE = 0.07


def measure_knn(test: ClipOutputs, train: ClipOutputs, *, views: Views) -> Measurement:
    """The class that the nearest training videos vote for."""
    scores = knn_scores(
        test.video_features,
        train.video_features,
        gallery_classes=train.classes,
        num_classes=1 + max(int(part.classes.max()) for part in (test, train)),
    )
    words = f"the {_NUM_NEIGHBORS} nearest training videos, each counting exp(cosine / {_TEMPERATURE})"
    return measure_scores(f"knn_{views.name}", scores, test, words=f"{words}, mean feature of {views.words}")


def knn_scores(queries: Tensor, gallery: Tensor, *, gallery_classes: Tensor, num_classes: int) -> Tensor:
    """The weighted vote of the 20 nearest: each counts exp(cosine / 0.07) for its class.

    The weights, rather than a plain majority, leave no ties and let k exceed the videos of a class (Wu et al., arXiv
    1805.01978, section 3.4; k as in Caron et al., arXiv 2104.14294, appendix F).

    Args:
        queries: features `[Q, D]`.
        gallery: features `[G, D]`; with fewer than 20, all vote.
        gallery_classes: `[G]`.
        num_classes: C.

    Returns:
        Shares of the votes, `[Q, C]`.
    """
    classifier = KNeighborsClassifier(
        min(_NUM_NEIGHBORS, len(gallery)),
        metric="cosine",
        weights=partial(_vote, temperature=_TEMPERATURE),
    )
    classifier.fit(gallery.double().numpy(), gallery_classes.numpy())
    shares = classifier.predict_proba(queries.double().numpy())
    return spread_over_classes(torch.from_numpy(shares), classifier.classes_, num_classes=num_classes)


def _vote(distances: np.ndarray, *, temperature: float) -> np.ndarray:
    """Of a neighbour at 1 - cosine `[Q, k]`; the constant exp(1 / temperature) is left out."""
    return np.exp(-distances / temperature)
