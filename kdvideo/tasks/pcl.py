"""Pretext-contrastive learning as a task."""

from collections.abc import Mapping
from typing import Self

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import prepare_clips
from kdvideo.models.pcl import PCLModel
from kdvideo.registry import LOSSES, TASKS
from kdvideo.tasks.task import Task

__all__ = ["PCLTask"]


@TASKS.register_as("pcl")
class PCLTask(Task):
    """Joint pretext and contrastive learning (PCL, Tao et al., arXiv 2010.15464, equation 5).

    `loss = CE(pretext) + contrast_weight * contrastive`, where the contrastive loss is the sum of both directions.

    Args:
        model: the network to train.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: 0.5 in the paper.
    """

    def __init__(self, model: PCLModel, *, contrast: nn.Module, contrast_weight: float = 0.5) -> None:
        super().__init__()
        self.trainable: nn.Module = model
        self.contrast = contrast
        self.contrast_weight = contrast_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, *, model: PCLModel, num_videos: int, teacher: nn.Module | None = None) -> Self:
        """Reads CONTRAST; the teacher is not used."""
        contrast = LOSSES.get(cfg.CONTRAST.NAME).from_config(cfg, num_videos=num_videos)
        return cls(model, contrast=contrast, contrast_weight=cfg.CONTRAST.WEIGHT)

    @property
    def num_negatives(self) -> int:
        """What the contrastive loss asks for."""
        num_negatives = self.contrast.num_negatives
        assert isinstance(num_negatives, int)
        return num_negatives

    def describe(self) -> str:
        """The two losses."""
        return f"pretext cross-entropy + {self.contrast_weight:g} * {type(self.contrast).__name__}"

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step's losses.

        Args:
            batch: `clips` uint8 `[B, N, C, T, H, W]`, `pretext_label` `[B]`, `index` `[B]`, `negatives` `[B, K]`.

        Returns:
            Scalars: `loss` to minimise, and to log `pretext_loss`, `contrast_loss`, `train_pretext_accuracy`.
        """
        scalars, _ = self.forward_with_outputs(batch)
        return scalars

    def forward_with_outputs(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """As `forward`, and what `trainable` gives: `feature[B, N, D]`, `pretext_logits[B, P]`, `z[B, 2, E]`."""
        outputs = self.trainable(prepare_clips(batch["clips"], self.student.backbone.clip_spec))
        logits, label = outputs["pretext_logits"], batch["pretext_label"]
        pretext_loss = F.cross_entropy(logits, label)
        contrast_loss = self.contrast(outputs["z"], batch["index"], batch["negatives"])
        scalars = {
            "loss": pretext_loss + self.contrast_weight * contrast_loss,
            "pretext_loss": pretext_loss.detach(),
            "contrast_loss": contrast_loss.detach(),
            "train_pretext_accuracy": (logits.detach().argmax(dim=1) == label).float().mean(),
        }
        return scalars, outputs

    @property
    def student(self) -> PCLModel:
        """The network."""
        assert isinstance(self.trainable, PCLModel)
        return self.trainable

    def task_state(self) -> dict[str, Tensor]:
        """The memory banks or queues."""
        return self.contrast.state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `task_state`."""
        self.contrast.load_state_dict(state)
