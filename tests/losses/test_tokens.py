"""The losses of `tokens.py` against float64 loops, in closed form, and their resampling against torch's.

Hints: Romero et al., arXiv 1412.6550. LightlyTrain's distillation v2 (squared difference of patch features) and the
local loss of v3 (KL of token-token similarities, tau 0.07), the latter without its linear layer.
"""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from kdvideo.losses import TokenDistillation, TokenMSE, TokenRelations
from kdvideo.losses.tokens import match_grids, resample_tokens


def draw(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_line(values: list[float], size: int) -> list[float]:
    """A triangle as wide as a new token lies around its middle; what is cut off at the borders is shared out."""
    step = max(len(values) / size, 1)
    line = []
    for i in range(size):
        middle = (i + 0.5) * len(values) / size
        weights = [max(0.0, 1 - abs(j + 0.5 - middle) / step) for j in range(len(values))]
        line.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return line


def slow_resample(tokens: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """One map `[t, h, w]`, line by line along each axis."""
    for axis, size in enumerate(grid):
        before = tokens.movedim(axis, -1)
        lines = [slow_line(line.tolist(), size) for line in before.reshape(-1, before.shape[-1])]
        tokens = torch.tensor(lines, dtype=tokens.dtype).view(*before.shape[:-1], size).movedim(-1, axis)
    return tokens


@pytest.mark.parametrize("grid", [(2, 3, 3), (5, 1, 7), (8, 10, 9)])
def test_resampling_is_the_slow_one(grid: tuple[int, int, int]):
    """To coarser grids, to finer ones, and to some of each."""
    tokens = draw(0, 5, 7, 6)
    torch.testing.assert_close(resample_tokens(tokens, grid), slow_resample(tokens, grid), rtol=1e-12, atol=1e-12)


def test_resampling_is_torchs():
    """Trilinear without a filter to finer grids; with one, pictures to coarser ones."""
    finer = F.interpolate(draw(0, 1, 2, 4, 5, 6), (7, 9, 8), mode="trilinear", align_corners=False)
    torch.testing.assert_close(resample_tokens(draw(0, 1, 2, 4, 5, 6), (7, 9, 8)), finer, rtol=1e-12, atol=1e-12)
    pictures = draw(1, 3, 2, 14, 13)
    coarser = F.interpolate(pictures, (4, 5), mode="bilinear", align_corners=False, antialias=True)
    found = resample_tokens(pictures.unsqueeze(2), (1, 4, 5)).squeeze(2)
    torch.testing.assert_close(found, coarser, rtol=1e-9, atol=1e-9)


def test_a_map_of_one_value_stays_so():
    """Weights add up to 1, so a linear layer may come before or after. An equal grid is not touched."""
    same = resample_tokens(torch.full((1, 7, 7, 9), 2.5), (2, 5, 12))
    torch.testing.assert_close(same, torch.full((1, 2, 5, 12), 2.5))
    tokens = torch.zeros(2, 3, 4)
    assert resample_tokens(tokens, (2, 3, 4)) is tokens


def places(*shape: int) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, shape)))


def slow_matched(student: torch.Tensor, teacher: torch.Tensor) -> list[tuple[list[list[float]], list[list[float]]]]:
    """For each clip, the tokens of both on the coarser grid, each a list of channels."""
    grid = tuple(map(min, student.shape[3:], teacher.shape[3:]))
    clips = []
    for b, n in places(*student.shape[:2]):
        both = []
        for tokens in (student, teacher):
            channels = [slow_resample(channel, grid) for channel in tokens[b, n]]
            both.append([[channel[place].item() for channel in channels] for place in places(*grid)])
        clips.append((both[0], both[1]))
    return clips


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


STUDENT, TEACHER = (2, 2, 3, 2, 3, 5), (2, 2, 3, 4, 2, 4)


def test_token_distillation_is_the_slow_one():
    """Cosine, and squared difference."""
    student, teacher = draw(1, *STUDENT), draw(2, *TEACHER)
    pairs = [pair for ours, theirs in slow_matched(student, teacher) for pair in zip(ours, theirs, strict=True)]
    assert len(pairs) == 4 * 2 * 2 * 4
    expected = sum(1 - cosine(s, t) for s, t in pairs) / len(pairs)
    assert TokenDistillation()(student, teacher).item() == pytest.approx(expected, rel=1e-6)
    expected = sum(sum((x - y) ** 2 for x, y in zip(s, t, strict=True)) / len(s) for s, t in pairs) / len(pairs)
    assert TokenMSE()(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_token_relations_are_the_slow_ones():
    """Networks of other channels; each token against all of its clip, itself among them."""
    student, teacher, tau = draw(1, *STUDENT), draw(2, 2, 2, 4, *TEACHER[3:]), 0.3
    values = []
    for ours, theirs in slow_matched(student, teacher):
        for s, t in zip(ours, theirs, strict=True):
            p = softmax([cosine(t, other) / tau for other in theirs])
            q = softmax([cosine(s, other) / tau for other in ours])
            values.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    found = TokenRelations(temperature=tau)(student, teacher).item()
    assert found == pytest.approx(sum(values) / len(values), rel=1e-6)


def test_in_closed_form():
    """Opposite tokens; a distance; two tokens that are alike for the student and at right angles for the teacher."""
    teacher = draw(3, *TEACHER)
    assert TokenDistillation()(-2 * teacher, teacher).item() == pytest.approx(2, rel=1e-9)
    assert TokenMSE()(teacher - 3, teacher).item() == pytest.approx(9, rel=1e-9)
    angles = torch.eye(2, dtype=torch.float64).view(1, 1, 2, 1, 1, 2)
    p = 1 / (1 + math.exp(-2.0))  # of itself, at tau 0.5
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert TokenRelations(temperature=0.5)(torch.ones_like(angles), angles).item() == pytest.approx(expected, rel=1e-9)
    assert TokenRelations()(7 * teacher, teacher).item() == pytest.approx(0, abs=1e-12)


def test_teachers_get_no_gradient():
    """Students do, at every place."""
    for loss in (TokenDistillation(), TokenMSE(), TokenRelations()):
        student, teacher = draw(1, *STUDENT).requires_grad_(), draw(2, *TEACHER).requires_grad_()
        loss(student, teacher).backward()
        assert teacher.grad is None
        assert student.grad.flatten(3).abs().sum(dim=(0, 1, 2)).min() > 0


def test_the_coarser_grid_is_that_of_each_axis():
    """Not that of the smaller map."""
    one, other = match_grids(draw(0, 1, 2, 3, 9), draw(0, 1, 4, 2, 5))
    assert one.shape == other.shape == (1, 2, 2, 5)
