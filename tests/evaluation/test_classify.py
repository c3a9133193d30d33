"""Video accuracy against a loop over videos and clips, and by hand."""

import pytest
import torch
from sklearn.metrics import log_loss, top_k_accuracy_score

from kdvideo.evaluation.classify import clip_accuracy, video_accuracy, video_cross_entropy
from kdvideo.evaluation.metrics import top_k_accuracy


def slow_video_accuracy(logits, classes, k: int) -> float:
    hits = 0
    for clips, wanted in zip(logits, classes, strict=True):
        mean = [0.0] * logits.shape[2]
        for clip in clips:
            exponents = [float(value.exp()) for value in clip]
            for i, value in enumerate(exponents):
                mean[i] += value / sum(exponents) / len(clips)
        ranked = sorted(range(len(mean)), key=lambda i: -mean[i])
        hits += int(wanted) in ranked[:k]
    return hits / len(logits)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_video_accuracy_is_the_loop(k: int):
    """Mean of the clips' probabilities, not of their logits."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(40, 4, 7, dtype=torch.float64, generator=generator)
    classes = torch.randint(0, 7, (40,), generator=generator)
    assert video_accuracy(logits, classes, ks=(k,))[k] == pytest.approx(slow_video_accuracy(logits, classes, k))


def test_one_video_by_hand():
    """Two clips lean a little to class 1, one is sure of class 0: probabilities 0.6 / 0.4, most clips say 1."""
    probabilities = torch.tensor([[[0.4, 0.6], [0.4, 0.6], [1 - 1e-9, 1e-9]]], dtype=torch.float64)
    assert video_accuracy(probabilities.log(), torch.tensor([0])) == {1: 1.0}
    assert clip_accuracy(probabilities.log(), torch.tensor([0])) == pytest.approx(1 / 3)


def test_cross_entropy_is_that_of_the_mean_probability():
    """scikit-learn's log loss of averaged probabilities; finite where a probability rounds to 0."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(40, 4, 7, dtype=torch.float64, generator=generator)
    classes = torch.randint(0, 7, (40,), generator=generator)
    expected = log_loss(classes.numpy(), logits.softmax(-1).mean(1).numpy(), labels=range(7))
    assert video_cross_entropy(logits, classes) == pytest.approx(expected, rel=1e-5)  # in fp32
    assert video_cross_entropy(torch.tensor([[[0.0, 1000.0]]]), torch.tensor([0])) == 1000.0


def test_more_than_all_classes_is_all_classes():
    """Top 5 of 2 classes is always right."""
    assert video_accuracy(torch.zeros(3, 1, 2), torch.tensor([0, 1, 1]), ks=(1, 5))[5] == 1.0


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_accuracy_is_scikit_learns(k: int):
    """On random scores, without ties."""
    generator = torch.Generator().manual_seed(k)
    scores = torch.rand(50, 7, generator=generator)
    classes = torch.randint(0, 7, (50,), generator=generator)
    expected = top_k_accuracy_score(classes.numpy(), scores.numpy(), k=k, labels=range(7))
    assert top_k_accuracy(scores, classes, ks=(1, k))[k] == pytest.approx(expected)
