"""Distillation losses, which compare a student's outputs with its teacher's."""

from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.distributed import gather, gather_with_gradient, rank
from kdvideo.losses.queue import Queue
from kdvideo.registry import LOSSES

__all__ = ["DistillationLoss", "EmbeddingDistillation", "LogitDistillation", "SimilarityDistillation"]


class DistillationLoss(nn.Module):
    """The base of all distillation losses, called as `loss(student_output, teacher_output)`.

    Attributes:
        output: the output that the loss compares: "pretext_logits" `[B, P]`, "feature" `[B, N, D]`, or the map
            "tokens" `[B, N, D, t, h, w]`. In a run that learns classes, a loss of "pretext_logits" gets the classes'
            logits `[B * N, K]` instead.
        adapts: whether a trained linear layer first maps the student's D to the teacher's.
    """

    output: ClassVar[str]
    adapts: ClassVar[bool] = False

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss from TEACHER.

        Args:
            cfg: a valid config.
            student_dim: length of the student's features.
            teacher_dim: length of the teacher's features.
        """
        return cls()


@LOSSES.register_as("logit_distillation")
class LogitDistillation(DistillationLoss):
    """KL divergence between the softened answers of teacher and student.

    `tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))`, averaged over the batch (Hinton et al., arXiv
    1503.02531). Camarena et al. (2022), section 3, add it to the student's own losses. The factor tau^2 keeps the size
    of the gradient when tau changes.

    Args:
        temperature: tau, above 0.

    Example:
        >>> loss, teacher = LogitDistillation(temperature=4.0), torch.tensor([[2.0, 0.0, 1.0]])
        >>> loss(teacher + 5, teacher).abs().item() < 1e-5, loss(-teacher, teacher).item() > 0
        (True, True)
    """

    output: ClassVar[str] = "pretext_logits"

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss with TEACHER.KD_TEMPERATURE."""
        return cls(temperature=cfg.TEACHER.KD_TEMPERATURE)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Computes the divergence.

        Args:
            student_logits: `[B, P]`.
            teacher_logits: `[B, P]`; they get no gradient.

        Returns:
            A scalar. It is 0 if the two agree up to a constant per row.

        Raises:
            ValueError: the shapes differ.
        """
        if student_logits.shape != teacher_logits.shape:
            raise ValueError(
                f"student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} differ"
            )
        student = torch.log_softmax(student_logits / self.temperature, dim=1)
        teacher = torch.log_softmax(teacher_logits.detach() / self.temperature, dim=1)
        return self.temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


@LOSSES.register_as("embedding_distillation")
class EmbeddingDistillation(DistillationLoss):
    """`1 - cosine` between adapted student and teacher features.

    It is averaged over clips and lies in [0, 2]. Imitating features needs only a backbone as the teacher (hints: Romero
    et al., arXiv 1412.6550). The cosine ignores the features' length, which differs between architectures.

    Example:
        >>> teacher = torch.randn(2, 3, 8)
        >>> EmbeddingDistillation()(2 * teacher, teacher).abs().item() < 1e-5
        True
    """

    output: ClassVar[str] = "feature"
    adapts: ClassVar[bool] = True

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """Computes the mean of `1 - cosine`, a scalar.

        Args:
            student_feature: adapted features `[B, N, D]`.
            teacher_feature: `[B, N, D]`; they get no gradient.
        """
        return 1 - F.cosine_similarity(student_feature, teacher_feature.detach(), dim=-1).mean()


@LOSSES.register_as("similarity_distillation")
class SimilarityDistillation(DistillationLoss):
    """KL divergence between teacher's and student's similarities to other clips.

    Each network compares a clip with the same anchors in its own space, so that no adapter is needed (CompRess,
    Koohpayegani et al., arXiv 2010.14713, equations 1 and 2; SEED, Fang et al., arXiv 2101.04731, has one space for
    both). Anchors are the other clips of all processes' batches and a queue of earlier clips:
    `KL(softmax(teacher_similarity / t) || softmax(student_similarity / t))`, averaged over clips, similarity = cosine.

    Args:
        student_dim: length of the student's features.
        teacher_dim: length of the teacher's features.
        num_anchors: length of the queue. With 0, only the batch provides anchors.
        temperature: t, above 0.

    Example:
        >>> loss = SimilarityDistillation(student_dim=8, teacher_dim=16, num_anchors=32)
        >>> loss(torch.randn(2, 3, 8), torch.randn(2, 3, 16)).item() > 0
        True
        >>> len(loss.student_queue.rows)
        6
    """

    output: ClassVar[str] = "feature"

    def __init__(
        self, *, student_dim: int, teacher_dim: int, num_anchors: int = 1024, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.student_queue, self.teacher_queue = Queue(num_anchors, student_dim), Queue(num_anchors, teacher_dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, student_dim: int, teacher_dim: int) -> Self:
        """Builds the loss with TEACHER.NUM_ANCHORS and TEACHER.SIMILARITY_TEMPERATURE."""
        return cls(
            student_dim=student_dim,
            teacher_dim=teacher_dim,
            num_anchors=cfg.TEACHER.NUM_ANCHORS,
            temperature=cfg.TEACHER.SIMILARITY_TEMPERATURE,
        )

    def forward(self, student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
        """Computes the divergence. In training mode, it also stores the clips in the queues.

        Args:
            student_feature: `[B, N, D]`.
            teacher_feature: `[B, N, D']`; they get no gradient.

        Returns:
            A scalar. It is 0 if all similarities agree.
        """
        student = F.normalize(student_feature.flatten(0, 1), dim=1)
        teacher = F.normalize(teacher_feature.detach().flatten(0, 1), dim=1)
        students, teachers = gather_with_gradient(student), gather(teacher)
        student_view = self._log_probabilities(student, students, self.student_queue)
        teacher_view = self._log_probabilities(teacher, teachers, self.teacher_queue)
        if self.training and len(self.student_queue.places):
            self.student_queue.push(students.detach())
            self.teacher_queue.push(teachers)
        return F.kl_div(student_view, teacher_view, reduction="batchmean", log_target=True)

    def _log_probabilities(self, clips: Tensor, batch: Tensor, queue: Queue) -> Tensor:
        """Returns the log-probabilities of each clip's similarities to all anchors except itself.

        Args:
            clips: clips of this process, `[M, D]`, of length 1.
            batch: clips of all processes, `[A, D]`.
            queue: the queue of earlier clips.

        Returns:
            `[M, A - 1 + queued]`.
        """
        itself = torch.arange(len(clips), device=clips.device)[:, None] + rank() * len(clips)
        others = torch.arange(len(batch) - 1, device=clips.device).expand(len(clips), -1)
        # m = clip, a = anchor, d = feature. A boolean mask would make a GPU's host wait for the number of its ones.
        in_batch = torch.einsum("md,ad->ma", clips, batch).gather(1, others + (others >= itself).long())
        queued = torch.einsum("md,ad->ma", clips, queue.rows.to(clips.dtype))
        return torch.log_softmax(torch.cat((in_batch, queued), dim=1) / self.temperature, dim=1)
