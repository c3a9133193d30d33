"""Linear probe: trains a linear classifier on fixed features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.subsets import hold_out
from kdvideo.evaluation.classify import spread_over_classes
from kdvideo.evaluation.protocol import Classes, Measurement, Protocol, Subject, measure_scores
from kdvideo.extras import extra_imports
from kdvideo.models.spec import Model

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["STRENGTHS", "LinearProbe", "choose_strength", "probe_scores"]

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # scikit-learn's C; a smaller value means stronger regularisation
_MAX_STEPS = 2000
_HELD_OUT = 0.25  # share of the training list's recordings that is used to choose C


class LinearProbe(Protocol):
    """The class that logistic regression predicts from the features."""

    name = "linear_probe"

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns the reason not to measure videos that have no classes or a single class."""
        only_one = "all videos are of one class" if classes.number == 1 else None
        return super().obstacle(model, classes) or only_one

    def measure(self, subject: Subject) -> Measurement:
        """Measures `linear_probe_10clip` and `linear_probe_10clip_top5`. The names contain the number of clips.

        Raises:
            ValueError: all training videos are of one class.
        """
        test, train, views = subject.test, subject.train, subject.views
        features, classes = train.video_features, train.classes
        held = {record.name for record in hold_out(train.records, _HELD_OUT)[1]}
        strength = choose_strength(features, classes, torch.tensor([record.name in held for record in train.records]))
        scores = probe_scores(
            test.video_features,
            features,
            classes=classes,
            num_classes=1 + max(int(part.classes.max()) for part in (test, train)),
            strength=strength,
        )
        words = f"logistic regression on the standardised mean feature of {views.words}"
        words = f"{words}, C {strength:g} by held-out groups"
        return measure_scores(self.name, f"linear_probe_{views.name}", scores, subject=subject, words=words)


def choose_strength(
    features: Tensor, classes: Tensor, held_out: Tensor, *, strengths: Sequence[float] = STRENGTHS
) -> float:
    """Chooses the C whose probe is most often right on held-out videos.

    Args:
        features: features of the training videos, `[V, D]`.
        classes: the class of each video, `[V]`.
        held_out: bool `[V]`. It holds out whole recordings, because similar videos would favour the weakest C.
        strengths: candidates in ascending order. The first one wins a tie.

    Returns:
        One of `strengths`. 1.0, scikit-learn's default, if nothing is held out or the rest has a single class.
    """
    kept = ~held_out
    if not held_out.any() or len(classes[kept].unique()) < 2:
        return 1.0
    right = []
    for strength in strengths:
        probe = _fit(features[kept], classes[kept], strength=strength)
        right.append(float(probe.score(_as_array(features[held_out]), classes[held_out].numpy())))
    return strengths[int(np.argmax(right))]


def probe_scores(
    queries: Tensor, features: Tensor, *, classes: Tensor, num_classes: int, strength: float = 1.0
) -> Tensor:
    """Computes class probabilities by L2-regularised logistic regression on standardised features.

    Args:
        queries: features of the test videos, `[Q, D]`.
        features: features of the training videos, `[V, D]`. Their mean and deviation standardise both sets.
        classes: the classes of the training videos, `[V]`. There are at least two.
        num_classes: C, the number of classes.
        strength: scikit-learn's C, the inverse of the regularisation.

    Returns:
        The probability of each class, `[Q, C]`.

    Raises:
        ValueError: all training videos are of one class.
    """
    if len(classes.unique()) < 2:
        raise ValueError("a linear probe tells classes apart, but all training videos are of one class")
    probe = _fit(features, classes, strength=strength)
    shares = torch.from_numpy(probe.predict_proba(_as_array(queries)))
    return spread_over_classes(shares, probe.classes_, num_classes=num_classes)


def _fit(features: Tensor, classes: Tensor, *, strength: float) -> "Pipeline":
    with extra_imports():  # imported here, because scikit-learn takes seconds to import
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_MAX_STEPS))
    return probe.fit(_as_array(features), classes.numpy())


def _as_array(features: Tensor) -> np.ndarray:
    return features.double().numpy()
