"""Classes of videos by their nearest training videos."""

from functools import partial

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from kdvideo.evaluation.classify import spread_over_classes

__all__ = ["NUM_NEIGHBORS", "TEMPERATURE", "knn_scores"]

# DINO's, which it found best for features of all sizes; fixed, so that nothing is chosen on a test list.
NUM_NEIGHBORS = 20
TEMPERATURE = 0.07


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
        min(NUM_NEIGHBORS, len(gallery)),
        metric="cosine",
        weights=partial(_vote, temperature=TEMPERATURE),
    )
    classifier.fit(gallery.double().numpy(), gallery_classes.numpy())
    shares = classifier.predict_proba(queries.double().numpy())
    return spread_over_classes(torch.from_numpy(shares), classifier.classes_, num_classes=num_classes)


def _vote(distances: np.ndarray, *, temperature: float) -> np.ndarray:
    """Of a neighbour at 1 - cosine `[Q, k]`; the constant exp(1 / temperature) is left out."""
    return np.exp(-distances / temperature)
