"""The linear probe against scikit-learn called plainly, against the condition of its optimum, and how it chooses C."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from kdvideo.evaluation.linear_probe import STRENGTHS, choose_strength, probe_scores


def blobs(count: int, *, seed: int, distance: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features `[V, 8]` around a centre a class, on scales from 1 to 1000, and their classes of 3."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % 3
    noise = torch.randn(count, 8, generator=generator, dtype=torch.float64)
    centers = distance * torch.eye(3, 8, dtype=torch.float64)
    return (noise + centers[classes]) * torch.logspace(0, 3, 8, dtype=torch.float64) + 5, classes


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_scores_are_scikit_learns(strength: float):
    """Standardised by hand with the training videos' mean and deviation."""
    train, classes = blobs(90, seed=0)
    test, _ = blobs(40, seed=1)
    mean, deviation = train.mean(dim=0), train.std(dim=0, unbiased=False)
    reference = LogisticRegression(C=strength, max_iter=5000)
    reference.fit(((train - mean) / deviation).numpy(), classes.numpy())
    expected = reference.predict_proba(((test - mean) / deviation).numpy())
    scores = probe_scores(test, train, classes=classes, num_classes=3, strength=strength)
    assert scores.numpy() == pytest.approx(expected, abs=1e-6)


def test_scores_fulfil_the_condition_of_the_optimum():
    """The gradient of C * sum of cross entropies + |W|^2 / 2 is zero, so W and the logits follow from the scores."""
    train, classes = blobs(90, seed=0)
    strength = 0.1
    scores = probe_scores(train, train, classes=classes, num_classes=3, strength=strength).numpy()
    standard = ((train - train.mean(dim=0)) / train.std(dim=0, unbiased=False)).numpy()
    error = scores - np.eye(3)[classes]
    assert np.abs(error.mean(axis=0)).max() < 1e-4  # of the bias, which is not held down
    weights = -strength * standard.T @ error
    left = np.log(scores) - standard @ weights  # the bias, and a constant a video
    left -= left.mean(axis=1, keepdims=True)
    # lbfgs stops at a mean gradient of 1e-4: strength * 90 * 1e-4 a weight, times the 8 features
    tolerance = strength * 90 * 1e-4 * np.abs(standard).sum(axis=1).max()
    assert left == pytest.approx(np.broadcast_to(left.mean(axis=0), left.shape), abs=tolerance)


def test_a_class_without_training_videos_scores_nothing():
    """Its column is there."""
    train, classes = blobs(30, seed=0)
    scores = probe_scores(train, train, classes=2 * classes, num_classes=6)
    assert scores.shape == (30, 6)
    assert scores[:, [1, 3, 5]].eq(0).all()
    assert scores.sum(dim=1).numpy() == pytest.approx(1)


def test_strength_is_the_best_on_what_is_held_out():
    """As a loop over scikit-learn says; the smallest of equals."""
    features, classes = blobs(60, seed=2)
    held_out = torch.arange(60) % 4 == 0
    kept = ~held_out
    right = []
    for strength in STRENGTHS:
        scores = probe_scores(
            features[held_out], features[kept], classes=classes[kept], num_classes=3, strength=strength
        )
        right.append((scores.argmax(dim=1) == classes[held_out]).float().mean().item())
    assert choose_strength(features, classes, held_out) == STRENGTHS[right.index(max(right))]
    easy, easy_classes = blobs(60, seed=2, distance=100.0)
    assert choose_strength(easy, easy_classes, held_out) == STRENGTHS[0]


def test_strength_where_nothing_can_be_chosen():
    """Nothing held out, or one class left: scikit-learn's own."""
    features, classes = blobs(6, seed=0)
    assert choose_strength(features, classes, torch.zeros(6, dtype=torch.bool)) == 1.0
    assert choose_strength(features, classes, classes != 0) == 1.0


def test_one_class_is_refused():
    """There is nothing to tell apart."""
    features, _ = blobs(6, seed=0)
    with pytest.raises(ValueError, match="all training videos are of one class"):
        probe_scores(features, features, classes=torch.zeros(6, dtype=torch.long), num_classes=3)
