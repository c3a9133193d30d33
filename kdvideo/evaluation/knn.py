"""Classes of videos by their nearest training videos."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from kdvideo.evaluation.classify import spread_over_classes
from kdvideo.evaluation.protocol import Classes, Measurement, Protocol, Subject, measure_scores
from kdvideo.extras import extra_imports
from kdvideo.models.spec import Model

__all__ = ["KNN", "knn_scores"]

# DINO's, which it found best for features of all sizes; fixed, so that nothing is chosen on a test list.
_NUM_NEIGHBORS = 20
_TEMPERATURE = 0.07


class KNN(Protocol):
    """The class that the nearest training videos vote for."""

    name = "knn"

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns an obstacle for videos without classes."""
        return "the videos have no classes" if classes.number is None else None

    def measure(self, subject: Subject) -> Measurement:
        """Measures `knn_10clip` and `knn_10clip_top5`, named by the number of clips."""
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
    """Counts the weighted votes of the 20 nearest.

    Each counts exp(cosine / 0.07) for its class.

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
    with extra_imports():  # here, since scikit-learn takes seconds to import
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
    """Weighs neighbours at distances 1 - cosine, `[Q, k]`; leaves out the constant exp(1 / temperature)."""
    return np.exp(-distances / temperature)
