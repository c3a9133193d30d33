"""Logit distillation against loops written from Hinton et al. (arXiv 1503.02531, section 2)."""

import math
import re

import pytest
import torch

from kdvideo.losses import LogitDistillation

# Values here are at most some tens, sums of fewer than 100 float64 terms times T^2 <= 400: rounding is below 1e-11.
ATOL = 1e-6


def logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def log_softmax(row, temperature):
    """Equation 1 of the paper, in logarithms: log(exp(z_i/T) / sum_j exp(z_j/T))."""
    scaled = [value / temperature for value in row]
    top = max(scaled)
    log_total = top + math.log(sum(math.exp(value - top) for value in scaled))
    return [value - log_total for value in scaled]


def slow_distillation(student, teacher, temperature):
    """T^2 times the mean over the batch of sum_i p_i (log p_i - log q_i), p the teacher's, q the student's."""
    total = 0.0
    for student_row, teacher_row in zip(student, teacher, strict=True):
        log_p, log_q = log_softmax(teacher_row, temperature), log_softmax(student_row, temperature)
        total += sum(math.exp(lp) * (lp - lq) for lp, lq in zip(log_p, log_q, strict=True))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize(("batch", "classes"), [(1, 2), (3, 5), (7, 11)])
def test_value_is_the_definition(temperature, batch, classes):
    """The value is T^2 times the mean divergence of the student from the teacher."""
    student, teacher = logits(batch, classes, seed=1), logits(batch, classes, seed=2)
    value = LogitDistillation(temperature=temperature)(student, teacher)
    assert value.shape == ()
    expected = slow_distillation(student.tolist(), teacher.tolist(), temperature)
    assert value.item() == pytest.approx(expected, abs=ATOL, rel=0)


def test_the_default_temperature_is_four():
    """Without the option T is 4."""
    student, teacher = logits(3, 5, seed=3), logits(3, 5, seed=4)
    expected = slow_distillation(student.tolist(), teacher.tolist(), 4.0)
    assert LogitDistillation()(student, teacher).item() == pytest.approx(expected, abs=ATOL, rel=0)


def test_two_classes_by_hand():
    """Teacher (3/4, 1/4) and student (1/2, 1/2) at T = 2: 4 (3/4 log 3/2 + 1/4 log 1/2), and not the other way."""
    teacher = torch.tensor([[2 * math.log(3), 0.0]], dtype=torch.float64)
    student = torch.zeros(1, 2, dtype=torch.float64)
    loss = LogitDistillation(temperature=2.0)
    assert loss(student, teacher).item() == pytest.approx(
        4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)), abs=ATOL, rel=0
    )
    assert loss(teacher, student).item() == pytest.approx(
        4 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2)), abs=ATOL, rel=0
    )


def test_mean_is_over_the_batch_and_not_over_the_classes():
    """Repeating the batch leaves the value; one row in a batch with a perfect one counts half."""
    student, teacher = logits(1, 6, seed=5), logits(1, 6, seed=6)
    loss = LogitDistillation()
    value = loss(student, teacher).item()
    repeated = loss(student.repeat(3, 1), teacher.repeat(3, 1)).item()
    halved = loss(torch.cat([student, teacher]), torch.cat([teacher, teacher])).item()
    assert value > 0.1
    assert repeated == pytest.approx(value, abs=ATOL, rel=0)
    assert halved == pytest.approx(value / 2, abs=ATOL, rel=0)


def test_zero_where_the_logits_are_equal_up_to_a_constant_per_row():
    """A softmax does not see a constant, so it costs nothing; a constant per class is another matter."""
    teacher = logits(4, 7, seed=7)
    loss = LogitDistillation()
    assert loss(teacher.clone(), teacher).item() == pytest.approx(0, abs=ATOL)
    assert loss(teacher + logits(4, 1, seed=8), teacher).item() == pytest.approx(0, abs=ATOL)
    assert loss(teacher + logits(1, 7, seed=9), teacher).item() > 0.1


@pytest.mark.parametrize("seed", range(20))
def test_never_negative(seed):
    """A divergence is at least 0, also of distributions close to one another."""
    student = logits(3, 5, seed=seed)
    # Near 0 the divergence is a difference of nearly equal sums, each rounded by some 1e-16; T^2 = 16 of that.
    for distance in (1.0, 1e-3, 1e-7):
        assert LogitDistillation()(student, student + distance * logits(3, 5, seed=100 + seed)).item() >= -1e-13


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradient_is_the_difference_of_the_softened_probabilities(temperature):
    """d/ds = T (softmax(s/T) - softmax(t/T)) / B: the paper's equation 2 times T^2, for a mean over the batch."""
    student, teacher = logits(3, 5, seed=10).requires_grad_(), logits(3, 5, seed=11)
    LogitDistillation(temperature=temperature)(student, teacher).backward()
    for gradient, student_row, teacher_row in zip(
        student.grad.tolist(), student.tolist(), teacher.tolist(), strict=True
    ):
        q = [math.exp(value) for value in log_softmax(student_row, temperature)]
        p = [math.exp(value) for value in log_softmax(teacher_row, temperature)]
        expected = [temperature * (qi - pi) / 3 for qi, pi in zip(q, p, strict=True)]
        assert gradient == pytest.approx(expected, abs=ATOL, rel=0)


def test_high_temperatures_match_the_centred_logits():
    """For large T the value tends to 1/(2 P B) times the squared differences of the row-centred logits (equation 4)."""
    student, teacher = logits(3, 5, seed=12, scale=1.0), logits(3, 5, seed=13, scale=1.0)
    limit = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        s_mean, t_mean = sum(s) / 5, sum(t) / 5
        limit += sum(((si - s_mean) - (ti - t_mean)) ** 2 for si, ti in zip(s, t, strict=True)) / (2 * 5 * 3)
    assert limit > 0.1
    errors = [abs(LogitDistillation(temperature=t)(student, teacher).item() - limit) for t in (10.0, 100.0, 1000.0)]
    # The next term of the expansion is of order |logits|^3 / T, and the logits are below 3: 27 / 1000 at the last T.
    # The error shrinks like 1/T, ten times a step; five times tells that from a limit that is off by a constant.
    assert errors[2] < 27 / 1000
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5


def test_the_teacher_is_a_constant():
    """No gradient reaches the teacher's logits, even if they ask for one."""
    student = logits(3, 5, seed=14).requires_grad_()
    teacher = logits(3, 5, seed=15).requires_grad_()
    LogitDistillation()(student, teacher).backward()
    assert teacher.grad is None or not teacher.grad.any()
    assert student.grad.abs().max() > 1e-2


@pytest.mark.parametrize("teacher_shape", [(3, 4), (2, 5), (1, 5), (3, 1), (5,), (3, 5, 1)])
def test_differing_shapes_are_refused(teacher_shape):
    """Nothing is broadcast: student and teacher must speak of the same videos and classes."""
    with pytest.raises(ValueError, match=re.escape(f"(3, 5) and teacher logits {teacher_shape} differ")):
        LogitDistillation()(torch.zeros(3, 5), torch.zeros(teacher_shape))


def test_certain_and_opposed_logits_stay_finite():
    """Probabilities too small for a float32 do not make infinities: KL of two opposed certainties is the logit gap."""
    teacher, student = torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1000.0]])
    student.requires_grad_()
    value = LogitDistillation(temperature=1.0)(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(1000, rel=1e-6)  # float32: one rounding in 1000
    # softmax(s) - softmax(t) = (0, 1) - (1, 0), exact since exp(-1000) is 0 in float32.
    assert student.grad.tolist() == [[-1.0, 1.0]]
