"""The losses of `relations.py` against float64 loops from the papers' formulas, and in closed form.

SEED: Fang et al., arXiv 2101.04731, equations 2 to 5. PHI-S: Ranzinger et al., arXiv 2410.01680, section 3.1. DIST:
Huang et al., arXiv 2205.10536, equations 7 and 9 without their weights.
"""

import math
import statistics

import pytest
import torch
from scipy.linalg import hadamard

from kdvideo.losses import DIST, IsotropicMSE, QueueDistillation, StandardisedEmbedding, StandardisedMSE


def draw(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


def test_queue_distillation_is_the_slow_one():
    """Three batches with a queue of seven: the batch itself is among the anchors, then the latest earlier clips."""
    loss, queue = QueueDistillation(teacher_dim=5, num_anchors=7, temperature=0.3).double(), []
    for step in range(3):
        student, teacher = draw(step, 2, 2, 5), draw(50 + step, 2, 2, 5)
        clips = teacher.flatten(0, 1).tolist()
        expected = 0.0
        for s, t in zip(student.flatten(0, 1).tolist(), clips, strict=True):
            anchors = clips + queue
            p, q = (softmax([cosine(one, anchor) / 0.3 for anchor in anchors]) for one in (t, s))
            expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(clips)
        assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-6)
        queue = (queue + clips)[-7:]
    assert len(loss.queue.rows) == 7


def test_queue_distillation_in_closed_form():
    """Two clips at right angles that the student has exchanged: tanh(1 / 2 tau) / tau. In eval mode nothing is kept."""
    loss = QueueDistillation(teacher_dim=2, num_anchors=4, temperature=0.5).double().eval()
    teacher = torch.eye(2, dtype=torch.float64)[None]
    assert loss(teacher.flip(1), teacher).item() == pytest.approx(math.tanh(1.0) / 0.5, rel=1e-9)
    assert loss(teacher * 7, teacher).item() == pytest.approx(0, abs=1e-12)
    assert len(loss.queue.rows) == 0


@pytest.mark.parametrize("kind", [StandardisedEmbedding, StandardisedMSE])
def test_standardised_losses_are_the_slow_ones(kind):
    """Statistics of all clips so far, in batches of other sizes; a checkpoint has them."""
    loss, seen = kind(teacher_dim=4).double(), []
    for step, size in enumerate((3, 1, 2)):
        student, teacher = draw(step, size, 2, 4), 5 + draw(60 + step, size, 2, 4)
        seen += teacher.flatten(0, 1).tolist()
        means = [statistics.fmean(column) for column in zip(*seen, strict=True)]
        deviations = [math.sqrt(statistics.pvariance(column) + 1e-6) for column in zip(*seen, strict=True)]
        values = []
        for s, t in zip(student.flatten(0, 1).tolist(), teacher.flatten(0, 1).tolist(), strict=True):
            z = [(x - mean) / deviation for x, mean, deviation in zip(t, means, deviations, strict=True)]
            if kind is StandardisedMSE:
                values.append(statistics.fmean((a - b) ** 2 for a, b in zip(s, z, strict=True)))
            else:
                values.append(1 - cosine(s, z))
        assert loss(student, teacher).item() == pytest.approx(statistics.fmean(values), rel=1e-6)
    other = kind(teacher_dim=4).double().eval()
    other.load_state_dict(loss.state_dict())
    assert other(student, teacher).item() == loss.eval()(student, teacher).item()
    assert other.statistics.count.item() == 12  # eval mode adds nothing


def test_a_student_that_knows_the_mean_has_a_loss_of_one():
    """Up to the 1e-6 beside the variance."""
    loss = StandardisedMSE(teacher_dim=3).double()
    assert loss(torch.zeros(5, 2, 3, dtype=torch.float64), draw(0, 5, 2, 3)).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", [StandardisedEmbedding, StandardisedMSE])
def test_noise_of_a_dead_dimension_is_not_magnified(kind):
    """A tenth of a thousandth of the others' deviation stays below a hundredth; it was a third of a live dimension."""
    loss, rows = kind(teacher_dim=4), draw(5, 40, 2, 4).float()
    rows[..., 2] *= 3e-4
    loss(torch.zeros_like(rows), rows)
    standardised = loss.statistics.standardise(rows)
    assert standardised[..., 2].std() < 0.05
    assert standardised[..., [0, 1, 3]].std() == pytest.approx(1, abs=0.1)


def phi_s(seen: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """PHI-S as the paper has it: `H U^T (x - mean) / alpha`, and the turn `H U^T` alone."""
    mean = seen.mean(dim=0)
    eigenvalues, axes = torch.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
    turn = torch.tensor(hadamard(seen.shape[1]), dtype=seen.dtype) / math.sqrt(seen.shape[1]) @ axes.T
    return (rows - mean) @ turn.T / eigenvalues.mean().sqrt(), turn


def test_the_references_turn_makes_all_variances_one():
    """What the paper promises, so that the next test compares with the right thing."""
    seen = draw(0, 50, 8) * torch.arange(1, 9)
    assert phi_s(seen, seen)[0].var(dim=0, correction=0).tolist() == pytest.approx([1] * 8, rel=1e-9)


def test_isotropic_mse_is_that_of_phi_s():
    """For a student whose adapter is turned as the teacher's features are, whatever their unit: value and gradient."""
    loss, seen = IsotropicMSE(teacher_dim=8).double(), []
    for step, size in enumerate((3, 1, 2)):
        student = draw(step, size, 2, 8).requires_grad_()
        teacher = 1e-4 * (5 + draw(60 + step, size, 2, 8) * torch.arange(1, 9))
        seen.append(teacher.flatten(0, 1))
        target, turn = phi_s(torch.cat(seen), seen[-1])
        expected = ((student.flatten(0, 1) @ turn.T - target) ** 2).mean()
        value = loss(student, teacher)
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
        ours, theirs = (torch.autograd.grad(one, student)[0] for one in (value, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_isotropic_mse_in_closed_form():
    """Dimensions of variance 9 and 1 have the scale sqrt(5); a student that knows the mean has a loss of 1."""
    loss = IsotropicMSE(teacher_dim=2).double()
    teacher = torch.tensor([[[4.0, 7.0]], [[-2.0, 9.0]]], dtype=torch.float64)
    assert loss(torch.zeros_like(teacher), teacher).item() == pytest.approx(1, abs=1e-12)
    assert loss.statistics.scale.item() == pytest.approx(math.sqrt(5), rel=1e-12)
    assert loss(torch.ones_like(teacher), teacher).item() == pytest.approx(2, abs=1e-12)  # the mean is 0 by then


def pearson(a: list[float], b: list[float]) -> float:
    return cosine([x - statistics.fmean(a) for x in a], [x - statistics.fmean(b) for x in b])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_is_the_slow_one(temperature: float):
    """Rows, then columns, of the probabilities."""
    student, teacher = draw(1, 6, 4), draw(2, 6, 4)
    ours, theirs = ([softmax([x / temperature for x in row]) for row in one.tolist()] for one in (student, teacher))
    expected = 0.0
    for pairs in (zip(ours, theirs, strict=True), zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)):
        expected += 1 - statistics.fmean(pearson(list(a), list(b)) for a, b in pairs)
    assert DIST(temperature=temperature)(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_dist_in_closed_form():
    """Two classes: exchanged answers have a correlation of -1 in every row and column, so the loss is 4."""
    teacher = draw(3, 5, 2)
    assert DIST()(teacher.flip(1), teacher).item() == pytest.approx(4, abs=1e-6)
    assert DIST()(teacher + 2, teacher).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"student logits \(5, 2\) and teacher logits \(5, 3\) differ"):
        DIST()(teacher, draw(3, 5, 3))


def test_teachers_get_no_gradient():
    """Students do."""
    cases = [
        (DIST(), (4, 5)),
        (QueueDistillation(teacher_dim=5), (2, 2, 5)),
        (StandardisedMSE(teacher_dim=5), (2, 2, 5)),
    ]
    for loss, shape in cases:
        student, teacher = (draw(seed, *shape).float().requires_grad_() for seed in (1, 2))
        loss(student, teacher).backward()
        assert teacher.grad is None
        assert student.grad.abs().max() > 0
