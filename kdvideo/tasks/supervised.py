"""Learning from labels: finetuning a pretrained backbone, or training one from scratch."""

from typing import ClassVar, Self

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.data.batch import Batch
from kdvideo.models.pcl import ClassificationModel
from kdvideo.registry import TASKS
from kdvideo.tasks.preparation import ClipPreparation
from kdvideo.tasks.task import Task

__all__ = ["SupervisedTask"]


@TASKS.register_as("supervised")
class SupervisedTask(Task):
    """Cross-entropy over the classes, with one clip per video.

    Args:
        model: a backbone with a classifier.
    """

    needs_labels: ClassVar[bool] = True
    trainable: ClassificationModel

    def __init__(self, model: ClassificationModel) -> None:
        super().__init__()
        self.trainable = model
        self.prepare = ClipPreparation(model.backbone.clip_spec)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, *, model: ClassificationModel, num_videos: int, teacher: nn.Module | None = None
    ) -> Self:
        """Builds the task from the model alone."""
        return cls(model)

    def describe(self) -> str:
        """Returns a description of the loss in words."""
        return "cross-entropy over the classes"

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's loss.

        Args:
            batch: `clips` uint8 `[B, 1, C, T, H, W]`, `class_id` `[B]`.

        Returns:
            Scalars: `loss` to minimise, and `train_accuracy` for the log.
        """
        logits = self.trainable(self.prepare(batch["clips"].flatten(0, 1)))
        accuracy = (logits.detach().argmax(dim=1) == batch["class_id"]).float().mean()
        return {"loss": F.cross_entropy(logits, batch["class_id"]), "train_accuracy": accuracy}
