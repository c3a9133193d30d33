"""More distillation losses: one space for both networks with a queue, standardised features, and DIST for logits."""

from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.distributed import gather, gather_with_gradient
from kdvideo.losses.distill import DistillationLoss
from kdvideo.losses.queue import Queue
from kdvideo.registry import LOSSES

__all__ = ["DIST", "IsotropicMSE", "QueueDistillation", "RunningStatistics", "StandardisedEmbedding", "StandardisedMSE"]


@LOSSES.register_as("queue_distillation")
class QueueDistillation(DistillationLoss):
    """KL divergence between teacher's and student's similarities to the teacher's features of many clips.

    A linear layer maps the student's feature to the teacher's space, in which both are compared with the same anchors
    (SEED, Fang et al., arXiv 2101.04731, equations 2 to 5): `KL(softmax(cos(t, a) / tau) || softmax(cos(s, a) / tau))`,
    averaged over clips. Anchors are all clips of all processes' batches, the compared clip among them, and a queue of
    earlier clips.

    Args:
        teacher_dim: length of the teacher's features.
        num_anchors: length of the queue. With 0, only the batch provides anchors.
        temperature: tau, above 0.

    Example:
        >>> loss, teacher = QueueDistillation(teacher_dim=16, num_anchors=32), torch.randn(2, 3, 16)
        >>> loss(2 * teacher, teacher).abs().item() < 1e-5, len(loss.queue.rows)
        (True, 6)
    """

    output: ClassVar[str] = "feature"
    adapts: ClassVar[bool] = True

    def __init__(self, *, teacher_dim: int, num_anchors: int = 1024, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature
        self.queue = Queue(num_anchors, teacher_dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss with TEACHER.NUM_ANCHORS and TEACHER.SIMILARITY_TEMPERATURE."""
        return cls(
            teacher_dim=teacher_dim,
            num_anchors=cfg.TEACHER.NUM_ANCHORS,
            temperature=cfg.TEACHER.SIMILARITY_TEMPERATURE,
        )

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """Computes the divergence. In training mode, it also stores the teacher's features in the queue.

        Args:
            student_feature: adapted features `[B, N, D]`.
            teacher_feature: `[B, N, D]`; they get no gradient.

        Returns:
            A scalar. It is 0 if both point in the same directions.
        """
        student = F.normalize(student_feature.flatten(0, 1), dim=1)
        teacher = F.normalize(teacher_feature.detach().flatten(0, 1), dim=1)
        batch = gather(teacher)
        anchors = torch.cat((batch, self.queue.rows.to(batch.dtype)))
        if self.training and len(self.queue.places):
            self.queue.push(batch)
        # m = clip, a = anchor, d = feature.
        student_view, teacher_view = (
            (torch.einsum("md,ad->ma", clips, anchors) / self.temperature).log_softmax(dim=1)
            for clips in (student, teacher)
        )
        return F.kl_div(student_view, teacher_view, reduction="batchmean", log_target=True)


_LEAST_SHARE = 1e-4  # of the mean variance: a dimension with less has noise only, which nothing may magnify


class RunningStatistics(nn.Module):
    """Mean and variance of each dimension over all rows that were ever seen, in all processes.

    Two sets of rows are merged exactly (Chan et al., 1979): the result does not depend on how rows come in batches.

    Args:
        dim: length of a row.

    Example:
        >>> statistics = RunningStatistics(1)
        >>> for rows in ([[1.0], [2.0]], [[6.0]]):
        ...     statistics.update(torch.tensor(rows))
        >>> statistics.mean.item(), round(statistics.variance.item(), 4)
        (3.0, 4.6667)
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Adds this process's `rows[M, D]` and those of all others."""
        everywhere = gather(rows.to(self.mean.dtype))
        number = len(everywhere)
        variance, mean = torch.var_mean(everywhere, dim=0, correction=0)
        share = number / (self.count + number)  # of the new rows
        delta = mean - self.mean
        self.variance.copy_((1 - share) * self.variance + share * variance + share * (1 - share) * delta**2)
        self.mean.add_(share * delta)
        self.count += number

    @property
    def scale(self) -> Tensor:
        """Returns the root of the mean of the variances `[D]`."""
        return self.variance.mean().sqrt()

    def standardise(self, rows: Tensor) -> Tensor:
        """Returns `rows[..., D]` with mean 0 and variance 1 in each dimension, as far as they are known.

        A dimension whose variance is below 1e-4 of the mean variance is divided by a hundredth of the root of the mean
        variance, not by its own deviation.
        """
        variance = torch.maximum(self.variance, _LEAST_SHARE * self.variance.mean())
        return (rows - self.mean.to(rows.dtype)) * (variance + 1e-6).rsqrt().to(rows.dtype)


class _Standardised(DistillationLoss):
    """The base of losses that compare with standardised features of the teacher.

    Args:
        teacher_dim: length of the teacher's features.
    """

    output: ClassVar[str] = "feature"
    adapts: ClassVar[bool] = True

    def __init__(self, *, teacher_dim: int) -> None:
        super().__init__()
        self.statistics = RunningStatistics(teacher_dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss for features of the teacher's length."""
        return cls(teacher_dim=teacher_dim)

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """Computes the loss. In training mode, the statistics learn from the batch first.

        Args:
            student_feature: adapted features `[B, N, D]`.
            teacher_feature: `[B, N, D]`; they get no gradient.
        """
        teacher = teacher_feature.detach()
        if self.training:
            self.statistics.update(teacher.flatten(0, 1))
        return self.compare(student_feature, self.standardise(teacher))

    def standardise(self, teacher: Tensor) -> Tensor:
        """Standardises features `[B, N, D]` dimension by dimension."""
        return self.statistics.standardise(teacher)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compares adapted features with standardised ones, both `[B, N, D]`. Returns a scalar."""
        raise NotImplementedError(f"{type(self).__name__} has no compare")


@LOSSES.register_as("standardised_embedding")
class StandardisedEmbedding(_Standardised):
    """`1 - cosine` between adapted student features and standardised teacher features.

    Few dimensions of large features have most of their length, and the cosine sees these alone. Standardised, all
    dimensions count alike (PHI-S, Ranzinger et al., arXiv 2410.01680, section 3.1).

    Example:
        >>> loss = StandardisedEmbedding(teacher_dim=8)
        >>> 0 <= loss(torch.randn(2, 3, 8), 5 + torch.randn(2, 3, 8)).item() <= 2
        True
    """

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Computes the mean of `1 - cosine`, a scalar, of features `[B, N, D]`."""
        return 1 - F.cosine_similarity(student, teacher, dim=-1).mean()


@LOSSES.register_as("standardised_mse")
class StandardisedMSE(_Standardised):
    """Mean squared difference between adapted student features and standardised teacher features.

    Standardised as PHI-S describes (Ranzinger et al., arXiv 2410.01680, section 3.1), a student that knows only the
    mean has a loss of 1, whatever the teacher.

    Example:
        >>> loss = StandardisedMSE(teacher_dim=8)
        >>> abs(loss(torch.zeros(20, 3, 8), 5 + torch.randn(20, 3, 8)).item() - 1) < 1e-3
        True
    """

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Computes the mean over all dimensions, a scalar, of features `[B, N, D]`."""
        return F.mse_loss(student, teacher)


@LOSSES.register_as("isotropic_mse")
class IsotropicMSE(StandardisedMSE):
    """Mean squared difference between adapted student features and teacher features of one common scale.

    PHI-S (Ranzinger et al., arXiv 2410.01680) divides all centred features by one number, so that the variance is 1 on
    average over dimensions. Unlike with a scale for each dimension, directions stay as they are, and dimensions of pure
    noise stay small. The paper also turns the features, by a Hadamard matrix times the principal axes, so that each
    dimension has a variance of 1. A turn of both sides changes no squared difference, and a linear adapter can turn the
    student's side. So it is left out here: the loss is that of PHI-S for an adapter that is turned likewise, and its
    target does not move when the axes of the clips seen so far do.

    Example:
        >>> loss = IsotropicMSE(teacher_dim=8)
        >>> abs(loss(torch.zeros(20, 3, 8), 5 + 1e-3 * torch.randn(20, 3, 8)).item() - 1) < 1e-3
        True
    """

    def standardise(self, teacher: Tensor) -> Tensor:
        """Divides centred features `[B, N, D]` by one number."""
        mean, scale = self.statistics.mean.to(teacher.dtype), self.statistics.scale.to(teacher.dtype)
        return (teacher - mean) / scale.clamp(min=1e-12)


@LOSSES.register_as("dist")
class DIST(DistillationLoss):
    """Correlations between the answers of teacher and student, sample by sample and class by class.

    Huang et al., arXiv 2205.10536 (DIST), section 3: with the probabilities of both, the mean over samples of
    `1 - Pearson` over the classes (relations between classes), and the mean over classes of `1 - Pearson` over the
    batch (relations within a class), of all processes. Both have weight 1. The student has to match relations
    instead of values, which suits a teacher that is much stronger.

    Args:
        temperature: divides the logits, above 0.

    Example:
        >>> loss, teacher = DIST(), torch.randn(4, 5)
        >>> loss(teacher + 3, teacher).abs().item() < 1e-5, loss(-teacher, teacher).item() > 1
        (True, True)
    """

    output: ClassVar[str] = "pretext_logits"

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Computes the sum of both terms, a scalar in [0, 4].

        Args:
            student_logits: `[B, P]`.
            teacher_logits: `[B, P]`; they get no gradient.

        Raises:
            ValueError: the shapes differ.
        """
        if student_logits.shape != teacher_logits.shape:
            raise ValueError(
                f"student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} differ"
            )
        student = (student_logits / self.temperature).softmax(dim=1)
        teacher = (teacher_logits.detach() / self.temperature).softmax(dim=1)
        between = 1 - _pearson(student, teacher, dim=1).mean()
        within = 1 - _pearson(gather_with_gradient(student), gather(teacher), dim=0).mean()
        return between + within


def _pearson(one: Tensor, other: Tensor, *, dim: int) -> Tensor:
    """Returns the correlations of `one[B, P]` and `other[B, P]` along a dimension."""
    first, second = (values - values.mean(dim=dim, keepdim=True) for values in (one, other))
    return F.cosine_similarity(first, second, dim=dim)
