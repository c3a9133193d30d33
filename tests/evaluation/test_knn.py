"""The weighted vote of nearest neighbours against a loop over queries."""

import math

import pytest
import torch

from kdvideo.evaluation.knn import knn_scores


def slow_scores(queries, gallery, classes, num_classes: int) -> list[list[float]]:
    scores = []
    for query in queries:
        cosines = [float(query @ other / query.norm() / other.norm()) for other in gallery]
        nearest = sorted(range(len(gallery)), key=lambda i: -cosines[i])[:20]
        votes = [0.0] * num_classes
        for i in nearest:
            votes[int(classes[i])] += math.exp(cosines[i] / 0.07)
        scores.append([vote / sum(votes) for vote in votes])
    return scores


@pytest.mark.parametrize("size", [7, 20, 60])
def test_scores_are_the_loop(size: int):
    """Also with fewer than 20 videos, of any length, and a class that none of them has."""
    generator = torch.Generator().manual_seed(size)
    queries = torch.randn(11, 6, generator=generator, dtype=torch.float64)
    gallery = 3 * torch.randn(size, 6, generator=generator, dtype=torch.float64)
    classes = torch.randint(0, 4, (size,), generator=generator)
    scores = knn_scores(queries, gallery, gallery_classes=classes, num_classes=5)
    assert scores == pytest.approx(torch.tensor(slow_scores(queries, gallery, classes, 5), dtype=torch.float64))
    assert scores[:, 4].eq(0).all()


def test_the_nearest_outweighs_the_many():
    """One video in the same direction against 19 at right angles: exp(1 / 0.07) is more than a million."""
    gallery = torch.cat([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]).expand(19, 2)])
    classes = torch.tensor([1] + [0] * 19)
    scores = knn_scores(torch.tensor([[5.0, 0.0]]), gallery, gallery_classes=classes, num_classes=2)
    assert float(scores[0, 0]) == pytest.approx(19 / (19 + math.exp(1 / 0.07)))
