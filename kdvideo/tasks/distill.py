"""PCL with a teacher: the student also imitates the teacher's softened pretext probabilities."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.losses.distill import LogitDistillation
from kdvideo.models.pcl import PCLModel
from kdvideo.registry import LOSSES, TASKS
from kdvideo.tasks.pcl import PCLTask

__all__ = ["DistillTask", "FrozenTeacher", "check_teacher", "resample_clips"]


class FrozenTeacher(nn.Module):
    """A teacher that stays as it is: no gradient, always in eval mode, fed in its own input convention.

    Args:
        model: the trained network.
        clip_spec: of the clips that it will be given.
    """

    def __init__(self, model: PCLModel, *, clip_spec: ClipSpec) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.given = clip_spec

    def train(self, mode: bool = True) -> Self:
        """Does nothing: `task.train()` must not put the teacher's BatchNorm into train mode."""
        return self

    @torch.no_grad()
    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """The model's outputs for uint8 clips `[B, N, C, T, H, W]`."""
        wanted = self.model.backbone.clip_spec
        return self.model(prepare_clips(resample_clips(clips, given=self.given, wanted=wanted), wanted))

    def describe(self) -> str:
        """One line for the log: what the teacher sees of the student's clips."""
        given, wanted = self.given, self.model.backbone.clip_spec
        resampled = (given.clip_len, given.size) != (wanted.clip_len, wanted.size)
        how = "resampled from the student's clips" if resampled else "the student's own clips"
        if given.frame_stride != wanted.frame_stride:
            how += f" at their frame stride {given.frame_stride} instead of its own {wanted.frame_stride}"
        frames = f"{wanted.clip_len} {wanted.modality} frames of {wanted.size} x {wanted.size}"
        return f"the teacher sees {frames}, {how}, normalised by its mean {wanted.mean} and std {wanted.std}"


def resample_clips(clips: Tensor, *, given: ClipSpec, wanted: ClipSpec) -> Tensor:
    """Clips as another network wants them: frames subsampled evenly over the same span, pictures resized.

    Args:
        clips: uint8 `[..., C, T, H, W]` as `given` says.
        given: length and size of the clips.
        wanted: length and size to make.
    """
    if given.clip_len != wanted.clip_len:
        frames = torch.linspace(0, given.clip_len - 1, wanted.clip_len, device=clips.device).round().long()
        clips = clips.index_select(-3, frames)
    if given.size != wanted.size:
        *leading, channels, length, height, width = clips.shape
        frames_first = clips.transpose(-4, -3).reshape(-1, channels, height, width)
        resized = F.resize(frames_first, [wanted.size] * 2, antialias=True)
        clips = resized.view(*leading, length, channels, wanted.size, wanted.size).transpose(-4, -3)
    return clips


def check_teacher(teacher: PCLModel, *, name: str, num_pretext_classes: int, tuple_len: int, pretext: str) -> None:
    """Whether the teacher answers the question that the student is asked.

    Raises:
        ValueError: another number of pretext classes or of clips in a tuple.
    """
    head = teacher.pretext_head
    if head.num_classes != num_pretext_classes:
        raise ValueError(
            f"TEACHER.WEIGHTS {name} answers {head.num_classes} pretext classes, but PRETEXT.NAME {pretext} has "
            f"{num_pretext_classes}: choose a teacher that was trained with {pretext}"
        )
    if head.tuple_len != tuple_len:
        raise ValueError(
            f"TEACHER.WEIGHTS {name} takes tuples of {head.tuple_len} clips, but PRETEXT.TUPLE_LEN is {tuple_len}: "
            f"set it to {head.tuple_len} or choose another teacher"
        )


@TASKS.register_as("distill")
class DistillTask(PCLTask):
    """Both of PCL's losses and logit distillation on the same tuples (Camarena et al., 2022, section 3 and figure 2).

    `loss = CE(pretext) + contrast_weight * contrastive + kd_weight * tau^2 * KL(teacher || student)`.

    Args:
        model: the student.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: 0.5 in PCL.
        teacher: gives `pretext_logits`.
        distillation: between student's and teacher's pretext logits.
        kd_weight: of the distillation loss.
    """

    needs_teacher: ClassVar[bool] = True

    def __init__(
        self,
        model: PCLModel,
        *,
        contrast: nn.Module,
        contrast_weight: float = 0.5,
        teacher: FrozenTeacher,
        distillation: LogitDistillation,
        kd_weight: float = 1.0,
    ) -> None:
        super().__init__(model, contrast=contrast, contrast_weight=contrast_weight)
        self.teacher = teacher
        self.distillation = distillation
        self.kd_weight = kd_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, *, model: PCLModel, num_videos: int, teacher: nn.Module | None = None) -> Self:
        """Reads CONTRAST and TEACHER; `teacher` is the built `PCLModel`, checked by `check_teacher`."""
        assert isinstance(teacher, PCLModel), "TASK.NAME distill is handed a built teacher"
        base = PCLTask.from_config(cfg, model=model, num_videos=num_videos)
        return cls(
            model,
            contrast=base.contrast,
            contrast_weight=base.contrast_weight,
            teacher=FrozenTeacher(teacher, clip_spec=model.backbone.clip_spec),
            distillation=LOSSES.get("logit_distillation")(temperature=cfg.TEACHER.KD_TEMPERATURE),
            kd_weight=cfg.TEACHER.KD_WEIGHT,
        )

    def describe(self) -> str:
        """What is learned from whom."""
        return f"{super().describe()}, distilled from a teacher; {self.teacher.describe()}"

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """As `PCLTask.forward`, with `kd_loss` added, and to log `teacher_agreement`: the share of equal answers."""
        scalars, logits = self.forward_with_logits(batch)
        teacher_logits = self.teacher(batch["clips"])["pretext_logits"]
        kd_loss = self.distillation(logits, teacher_logits)
        agreement = (logits.detach().argmax(dim=1) == teacher_logits.argmax(dim=1)).float().mean()
        return {
            **scalars,
            "loss": scalars["loss"] + self.kd_weight * kd_loss,
            "kd_loss": kd_loss.detach(),
            "teacher_agreement": agreement,
        }
