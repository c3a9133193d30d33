"""Pretext-contrastive learning as a task."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.data.batch import Batch
from kdvideo.errors import first_line
from kdvideo.losses.contrast import ContrastiveLoss
from kdvideo.models.pcl import PCLModel
from kdvideo.registry import LOSSES, TASKS
from kdvideo.tasks.preparation import ClipPreparation
from kdvideo.tasks.task import Task

__all__ = ["PCLTask", "build_contrast", "describe_pcl", "pcl_losses"]


def build_contrast(cfg: CfgNode, *, num_videos: int) -> ContrastiveLoss:
    """Builds the contrastive loss from CONTRAST for `num_videos` training videos.

    A copy of a loss from outside kdvideo is tried on two tuples.

    Raises:
        ValueError: the loss does not do what `LOSSES.__doc__` says.
    """
    name = cfg.CONTRAST.NAME
    kind = LOSSES.get(name)
    if missing := [member for member in ("from_config", "num_negatives") if not hasattr(kind, member)]:
        raise ValueError(
            f"contrastive loss {name!r} lacks {', '.join(missing)}: derive it from kdvideo.losses.ContrastiveLoss"
        )
    loss = kind.from_config(cfg, num_videos=num_videos)
    if LOSSES.own_module(name):
        _try_contrast(name, deepcopy(loss).eval(), dim=cfg.MODEL.PROJECTION_DIM)
    return loss


def _try_contrast(name: str, loss: ContrastiveLoss, *, dim: int) -> None:
    z = F.normalize(torch.ones(2, 2, dim), dim=-1)
    asked = f"loss(z[2, 2, {dim}], index[2], negatives[2, {loss.num_negatives}])"
    try:
        value = loss(z, torch.arange(2), torch.zeros(2, loss.num_negatives, dtype=torch.int64))
    except Exception as error:
        raise ValueError(
            f"contrastive loss {name!r} fails as {asked} ({type(error).__name__}: {first_line(error)}): it must give a "
            "scalar, see kdvideo.losses.ContrastiveLoss"
        ) from None
    if not isinstance(value, Tensor) or value.dim():
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"contrastive loss {name!r} gives {found} as {asked}: it must be a scalar, averaged over the batch"
        )


def pcl_losses(
    outputs: Mapping[str, Tensor], batch: Batch, *, contrast: ContrastiveLoss, contrast_weight: float
) -> dict[str, Tensor]:
    """Computes PCL's two losses from a model's outputs.

    Args:
        outputs: `pretext_logits[B, P]` and `z[B, 2, E]`.
        batch: `pretext_label[B]`, `index[B]` and `negatives[B, K]`.
        contrast: the contrastive loss.
        contrast_weight: weight of the contrastive loss.

    Returns:
        Scalars: `loss` to minimise; and `pretext_loss`, `contrast_loss` and `train_pretext_accuracy` for the log.
    """
    logits, label = outputs["pretext_logits"], batch["pretext_label"]
    pretext_loss = F.cross_entropy(logits, label)
    contrast_loss = contrast(outputs["z"], batch["index"], batch["negatives"])
    return {
        "loss": pretext_loss + contrast_weight * contrast_loss,
        "pretext_loss": pretext_loss.detach(),
        "contrast_loss": contrast_loss.detach(),
        "train_pretext_accuracy": (logits.detach().argmax(dim=1) == label).float().mean(),
    }


def describe_pcl(contrast: ContrastiveLoss, contrast_weight: float) -> str:
    """Returns a description of PCL's two losses in words."""
    return f"pretext cross-entropy + {contrast_weight:g} * {type(contrast).__name__}"


@TASKS.register_as("pcl")
class PCLTask(Task):
    """Joint pretext and contrastive learning (PCL).

    `loss = CE(pretext) + contrast_weight * contrastive`, where the contrastive loss is the sum of both directions (Tao
    et al., arXiv 2010.15464, equation 5).

    Args:
        model: the network to train.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: weight of the contrastive loss. 0.5 in the paper.

    Example:
        >>> import torch
        >>> import kdvideo
        >>> from kdvideo.losses import BatchNCE
        >>> model = kdvideo.create_pcl_model("r3d_10", width=8, clip_spec=kdvideo.ClipSpec(clip_len=8, size=32))
        >>> task = PCLTask(model, contrast=BatchNCE())
        >>> batch = Batch(
        ...     clips=torch.randint(0, 256, (2, 3, 3, 8, 32, 32), dtype=torch.uint8),
        ...     pretext_label=torch.tensor([0, 4]),
        ...     index=torch.tensor([0, 1]),
        ...     negatives=torch.empty(2, 0, dtype=torch.int64),
        ... )
        >>> sorted(task(batch))
        ['contrast_loss', 'loss', 'pretext_loss', 'train_pretext_accuracy']
    """

    trainable: PCLModel

    def __init__(self, model: PCLModel, *, contrast: ContrastiveLoss, contrast_weight: float = 0.5) -> None:
        super().__init__()
        self.trainable = model
        self.prepare = ClipPreparation(model.backbone.clip_spec)
        self.contrast = contrast
        self.contrast_weight = contrast_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, *, model: PCLModel, num_videos: int, teacher: nn.Module | None = None) -> Self:
        """Builds the task from CONTRAST; the teacher is not used."""
        return cls(model, contrast=build_contrast(cfg, num_videos=num_videos), contrast_weight=cfg.CONTRAST.WEIGHT)

    @property
    def num_negatives(self) -> int:
        """The number of negatives per sample."""
        return self.contrast.num_negatives

    def describe(self) -> str:
        """Returns a description of the two losses in words."""
        return describe_pcl(self.contrast, self.contrast_weight)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: `clips` uint8 `[B, N, C, T, H, W]`, `pretext_label` `[B]`, `index` `[B]`, `negatives` `[B, K]`.

        Returns:
            The scalars of `pcl_losses`.
        """
        outputs = self.trainable(self.prepare(batch["clips"]))
        return pcl_losses(outputs, batch, contrast=self.contrast, contrast_weight=self.contrast_weight)

    @property
    def student(self) -> PCLModel:
        """The network that is trained."""
        return self.trainable

    def task_state(self) -> dict[str, Tensor]:
        """Returns the memory banks or queues."""
        return self.contrast.state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the result of `task_state`."""
        self.contrast.load_state_dict(state)
