"""Knowledge distillation between logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.registry import LOSSES

__all__ = ["LogitDistillation"]


@LOSSES.register_as("logit_distillation")
class LogitDistillation(nn.Module):
    """KL divergence from the teacher's softened probabilities to the student's (Hinton et al., arXiv 1503.02531).

    `tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))`, averaged over the batch: what Camarena et al.
    (2022), section 3, add to the student's own losses. tau^2 keeps the gradient's size when tau changes.

    Args:
        temperature: tau, above 0.
    """

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Both `[B, P]`, the teacher's without gradient; a scalar, 0 where the two agree up to a constant a row.

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
