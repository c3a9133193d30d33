"""Classifies videos by their nearest training videos."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from kdvideo.evaluation.classify import spread_over_classes
from kdvideo.evaluation.protocol import Measurement, Protocol, Subject, measure_scores
from kdvideo.extras import extra_imports

__all__ = ["KNN", "knn_scores"]

# DINO's values, which its authors found best for features of all sizes. They are fixed, so that nothing is chosen on a
# test list.
_NUM_NEIGHBORS = 20
_TEMPERATURE = 0.07


class KNN(Protocol):
    """The class with the most votes of the nearest training videos."""

    name = "knn"

    def measure(self, subject: Subject) -> Measurement:
        """Measures `knn_10clip` and `knn_10clip_top5`. The names contain the number of clips."""
        test, train, views = subject.test, subject.train, subject.views
        scores = knn_scores(
            test.video_features,
            train.video_features,
            gallery_classes=train.classes,
            num_classes=1 + max(int(part.classes.max()) for part in (test, train)),
        )
        words = f"the {_NUM_NEIGHBORS} nearest training videos, each counting exp(cosine / {_TEMPERATURE})"
        words = f"{words}, mean feature of {views.words}"
        return measure_scores(self.name, f"knn_{views.name}", scores, subject=subject, words=words)


def knn_scores(queries: Tensor, gallery: Tensor, *, gallery_classes: Tensor, num_classes: int) -> Tensor:
    """Counts the weighted votes of the 20 nearest neighbours.

    Each neighbour adds exp(cosine / 0.07) to its class.

    Weights avoid the ties of a plain majority, and allow a k above the number of videos of a class (Wu et al., arXiv
    1805.01978, section 3.4; k as in Caron et al., arXiv 2104.14294, appendix F).

    Args:
        queries: features `[Q, D]`.
        gallery: features `[G, D]`. If there are fewer than 20, all of them vote.
        gallery_classes: the class of each gallery video, `[G]`.
        num_classes: C, the number of classes.

    Returns:
        The share of the votes of each class, `[Q, C]`.
    """
    with extra_imports():  # imported here, because scikit-learn takes seconds to import
        from sklearn.neighbors import KNeighborsClassifier
    classifier = KNeighborsClassifier(
        min(_NUM_NEIGHBORS, len(gallery)),
        metric="cosine",
        weights=partial(_vote, temperature=_TEMPERATURE),
    )
    classifier.fit(gallery.double().numpy(), gallery_classes.numpy())
    shares = classifier.predict_proba(queries.double().numpy())
    return spread_over_classes(torch.from_numpy(shares), classifier.classes_, num_classes=num_classes)


def _vote(distances: np.ndarray, *, temperature: float) -> np.ndarray:
    """Weighs neighbours at distances 1 - cosine, `[Q, k]`. It omits the constant exp(1 / temperature)."""
    return np.exp(-distances / temperature)
