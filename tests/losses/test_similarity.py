"""Similarity and embedding distillation against float64 loops written from the papers, without the library's code.

CompRess (Koohpayegani et al., arXiv 2010.14713): equation 1 is a network's distribution over anchors, a softmax of
cosines divided by a temperature; equation 2 the divergence of the student's from the teacher's; each network compares
with anchors of its own. SEED (Fang et al., arXiv 2101.04731, equations 2 to 5) has the same two distributions over the
teacher's anchors alone, and the cross-entropy, which differs by a constant. Anchors here: the other clips of the batch,
then the latest of earlier batches, first in, first out.
"""

import math

import pytest
import torch

from kdvideo.losses import EmbeddingDistillation, SimilarityDistillation

Vector = list[float]


def unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def cosine(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(unit(a), unit(b), strict=True))


def distribution(query: Vector, anchors: list[Vector], temperature: float) -> Vector:
    weights = [math.exp(cosine(query, anchor) / temperature) for anchor in anchors]
    return [weight / sum(weights) for weight in weights]


def kl(p: Vector, q: Vector) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def clips_of(features: torch.Tensor) -> list[Vector]:
    """`[B, N, D]` as B*N vectors of Python's floats."""
    return [[float(x) for x in clip] for sample in features for clip in sample]


class SlowSimilarity:
    """One value a batch; lists of earlier clips are its memory."""

    def __init__(self, *, num_anchors: int, temperature: float) -> None:
        self.num_anchors, self.temperature = num_anchors, temperature
        self.student_queue: list[Vector] = []
        self.teacher_queue: list[Vector] = []

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor, *, remember: bool = True) -> float:
        students, teachers = clips_of(student), clips_of(teacher)
        total = 0.0
        for i in range(len(students)):
            student_anchors = [clip for j, clip in enumerate(students) if j != i] + self.student_queue
            teacher_anchors = [clip for j, clip in enumerate(teachers) if j != i] + self.teacher_queue
            p = distribution(teachers[i], teacher_anchors, self.temperature)
            q = distribution(students[i], student_anchors, self.temperature)
            total += kl(p, q)
        if remember:
            for clip in students:
                self.student_queue = [*self.student_queue, clip][-self.num_anchors :] if self.num_anchors else []
            for clip in teachers:
                self.teacher_queue = [*self.teacher_queue, clip][-self.num_anchors :] if self.num_anchors else []
        return total / len(students)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# A queue that a batch fits into once, several times, not evenly, not at all; none.
@pytest.mark.parametrize("num_anchors", [0, 4, 6, 7, 20, 1000])
@pytest.mark.parametrize("temperature", [0.04, 0.07, 1.0])
def test_similarity_over_several_batches(num_anchors: int, temperature: float):
    """Every batch's value, so also what the queue holds; fp32 of cosines divided by 0.04 leaves 1e-5."""
    loss = SimilarityDistillation(student_dim=5, teacher_dim=8, num_anchors=num_anchors, temperature=temperature)
    slow = SlowSimilarity(num_anchors=num_anchors, temperature=temperature)
    for step in range(5):
        student, teacher = draw(2 * step, 2, 3, 5), draw(2 * step + 1, 2, 3, 8)
        expected = slow(student, teacher)
        assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_evaluation_adds_no_anchors():
    """A value computed in eval mode changes none of the following ones."""
    loss = SimilarityDistillation(student_dim=5, teacher_dim=8, num_anchors=9, temperature=0.07)
    slow = SlowSimilarity(num_anchors=9, temperature=0.07)
    for step, training in enumerate([True, False, True]):
        loss.train(training)
        student, teacher = draw(2 * step, 2, 3, 5), draw(2 * step + 1, 2, 3, 8)
        expected = slow(student, teacher, remember=training)
        assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_one_clip_and_two_anchors_by_hand():
    """The teacher's cosines are 0 and 1, the student's 1 and 0, at temperature 1: KL of (s, 1 - s) from (1 - s, s)."""
    loss = SimilarityDistillation(student_dim=2, teacher_dim=2, num_anchors=0, temperature=1.0)
    x, y = [1.0, 0.0], [0.0, 1.0]
    student, teacher = torch.tensor([[x], [x], [y]]), torch.tensor([[x], [y], [x]])
    s = 1 / (1 + math.e)  # the softmax of 0 beside 1
    # First clip as above; second and third: one network sees two equal cosines of 0, the other 1 and 0.
    first = (1 - s) * math.log((1 - s) / s) + s * math.log(s / (1 - s))
    second = 0.5 * math.log(0.5 / (1 - s)) + 0.5 * math.log(0.5 / s)
    third = (1 - s) * math.log((1 - s) / 0.5) + s * math.log(s / 0.5)
    assert loss(student, teacher).item() == pytest.approx((first + second + third) / 3, rel=1e-6)


def test_only_angles_matter():
    """Zero for a student that is the teacher, turned and stretched."""
    loss = SimilarityDistillation(student_dim=6, teacher_dim=6, num_anchors=12, temperature=0.07)
    rotation, _ = torch.linalg.qr(draw(0, 6, 6))
    for step in range(3):
        teacher = draw(step + 1, 2, 3, 6)
        lengths = draw(step + 9, 2, 3, 1).exp()
        assert loss(lengths * teacher @ rotation, teacher).item() == pytest.approx(0, abs=1e-5)


def test_gradient_is_the_loops():
    """By central differences in float64 of the loop: through the clip and through the anchors of its own batch."""
    loss = SimilarityDistillation(student_dim=4, teacher_dim=5, num_anchors=6, temperature=0.2)
    slow = SlowSimilarity(num_anchors=6, temperature=0.2)
    first, first_teacher = draw(0, 2, 2, 4), draw(1, 2, 2, 5)
    loss(first, first_teacher)
    slow(first, first_teacher)
    student, teacher = draw(2, 2, 2, 4).requires_grad_(), draw(3, 2, 2, 5).requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None or not teacher.grad.any()
    step = 1e-5
    expected = torch.zeros(student.shape, dtype=torch.float64)
    for place in range(student.numel()):
        sides = []
        for sign in (1, -1):
            moved = student.detach().double().clone()
            moved.view(-1)[place] += sign * step
            sides.append(slow(moved, teacher.detach(), remember=False))
        expected.view(-1)[place] = (sides[0] - sides[1]) / (2 * step)
    torch.testing.assert_close(student.grad.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 2)])
def test_embedding_is_one_minus_the_cosine(shape: tuple[int, int]):
    """Of the linearly adapted student's feature and the teacher's, averaged over all clips."""
    weight, bias = draw(0, 7, 4), draw(1, 7)
    student, teacher = draw(2, *shape, 4), draw(3, *shape, 7)
    adapted = torch.nn.functional.linear(student, weight, bias)
    expected = []
    for clip, target in zip(clips_of(student), clips_of(teacher), strict=True):
        row = [
            sum(float(w) * x for w, x in zip(weights, clip, strict=True)) + float(b)
            for weights, b in zip(weight, bias, strict=True)
        ]
        expected.append(1 - cosine(row, target))
    value = EmbeddingDistillation()(adapted, teacher)
    assert value.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5, abs=1e-6)


def test_embedding_by_hand():
    """0 for one direction, 1 for a right angle, 2 for the opposite; whatever the lengths; the teacher is fixed."""
    loss = EmbeddingDistillation()
    teacher = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]], [[2.0, 0.0]]], requires_grad=True)
    student = torch.tensor([[[9.0, 0.0]], [[0.0, 0.1]], [[-3.0, 0.0]]], requires_grad=True)
    value = loss(student, teacher)
    assert value.item() == pytest.approx((0 + 1 + 2) / 3)
    value.backward()
    assert teacher.grad is None or not teacher.grad.any()
    # d(1 - cos)/d student at the right angle: -teacher's direction / the student's length, over three clips
    torch.testing.assert_close(student.grad[1, 0], torch.tensor([-10.0 / 3, 0.0]))
