"""Learnt weights of losses, against a slow reference and the closed form of their best values."""

import math

import pytest
import torch

from kdvideo.tasks.weighting import LearntWeights


def test_the_sum_and_its_gradients():
    """weight * (exp(-s) L + s / 2) term by term, in float64, and d/ds = weight * (1/2 - exp(-s) L)."""
    weights, losses, logs = [1.0, 0.5, 2.0], [3.0, 0.1, 0.7], [0.3, -1.2, 0.0]
    module = LearntWeights({str(i): weight for i, weight in enumerate(weights)}).double()
    for parameter, value in zip(module.log_variances.values(), logs, strict=True):
        parameter.data.fill_(value)
    given = {str(i): torch.tensor(value, dtype=torch.float64, requires_grad=True) for i, value in enumerate(losses)}
    total = module(given)
    terms = zip(weights, losses, logs, strict=True)
    assert total.item() == pytest.approx(sum(w * (math.exp(-s) * x + s / 2) for w, x, s in terms), abs=1e-6)
    total.backward()
    for i, (weight, loss, s) in enumerate(zip(weights, losses, logs, strict=True)):
        assert module.log_variances[str(i)].grad.item() == pytest.approx(weight * (0.5 - math.exp(-s) * loss), abs=1e-6)
        assert given[str(i)].grad.item() == pytest.approx(weight * math.exp(-s), abs=1e-6)
        assert module.current()[str(i)].item() == pytest.approx(weight * math.exp(-s), abs=1e-6)


def test_they_begin_as_the_fixed_ones():
    """Same sum, same gradients of the losses."""
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(0.25)}
    assert LearntWeights({"a": 1.0, "b": 4.0})(losses).item() == 3.0


def test_the_best_is_half_the_inverse():
    """Of a constant loss L: exp(-s) = 1 / (2 L), which gradient descent finds."""
    module = LearntWeights({"a": 1.0, "b": 1.0})
    losses = {"a": torch.tensor(4.0), "b": torch.tensor(0.2)}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        module(losses).backward()
        optimizer.step()
    assert {name: weight.item() for name, weight in module.current().items()} == pytest.approx(
        {"a": 0.125, "b": 2.5}, rel=1e-3
    )
