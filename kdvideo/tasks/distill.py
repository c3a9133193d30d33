"""PCL with a teacher, whose answers or features the student imitates."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.losses.distill import DistillationLoss
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import HEADS, LOSSES, PRETEXTS, TASKS
from kdvideo.tasks.pcl import PCLTask
from kdvideo.tasks.replay import ReplayStore

__all__ = ["AdaptedStudent", "DistillTask", "FrozenTeacher", "check_teacher", "resample_clips"]


class FrozenTeacher(nn.Module):
    """A teacher that stays as it is: no gradient, always in eval mode, fed in its own input convention.

    Args:
        model: the trained network; of a classifier, the backbone is used.
        clip_spec: of the clips that it will be given; None where they are its own.
    """

    def __init__(self, model: Model, *, clip_spec: ClipSpec | None) -> None:
        super().__init__()
        self.model = model if isinstance(model, PCLModel) else backbone_of(model)
        self.model.eval().requires_grad_(False)
        self.given = clip_spec

    @property
    def wanted(self) -> ClipSpec:
        """The teacher's own input convention."""
        return backbone_of(self.model).clip_spec

    def train(self, mode: bool = True) -> Self:
        """Does nothing: `task.train()` must not put the teacher's BatchNorm into train mode."""
        return self

    @torch.no_grad()
    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """`feature[B, N, D]`, of a `PCLModel` all its outputs, for uint8 clips `[B, N, C, T, H, W]`."""
        if self.given is not None:
            clips = resample_clips(clips, given=self.given, wanted=self.wanted)
        prepared = prepare_clips(clips, self.wanted)
        if isinstance(self.model, PCLModel):
            return self.model(prepared)
        return {"feature": self.model(prepared.flatten(0, 1)).unflatten(0, clips.shape[:2])}

    def describe(self) -> str:
        """One line for the log: what the teacher sees of the student's clips."""
        given, wanted = self.given, self.wanted
        if given is None:
            how = "its own of the spans of the student's clips"
        elif (given.clip_len, given.size) != (wanted.clip_len, wanted.size):
            how = "resampled from the student's clips"
        else:
            how = "the student's own clips"
        if given is not None and given.frame_stride != wanted.frame_stride:
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


def check_teacher(
    teacher: Model, losses: Sequence[str], *, name: str, num_pretext_classes: int, tuple_len: int, pretext: str
) -> None:
    """Whether the teacher can be asked what the losses of these names compare.

    Raises:
        ValueError: no pretext head, or one for another number of classes or of clips in a tuple.
    """
    if all(LOSSES.get(loss).output == "feature" for loss in losses):
        return
    if not isinstance(teacher, PCLModel):
        features = [other for other in LOSSES.names() if getattr(LOSSES.get(other), "output", "") == "feature"]
        raise ValueError(
            f"TEACHER.WEIGHTS {name} has no pretext head, which TEACHER.LOSSES {list(losses)} compare: "
            f"choose of {', '.join(features)}"
        )
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


def _check_own_frames(clip: ClipSpec, *, pretext: str, tuple_len: int) -> None:
    try:
        PRETEXTS.get(pretext).check(clip_len=clip.clip_len, size=clip.size, tuple_len=tuple_len)
    except ValueError:
        raise ValueError(
            f"TEACHER.SAMPLING own: the teacher's clips of {clip.clip_len} frames of {clip.size} x {clip.size} do not "
            f"suit PRETEXT.NAME {pretext}; use TEACHER.SAMPLING shared"
        ) from None


class AdaptedStudent(nn.Module):
    """A student, and the linear layer that makes its features as long as the teacher's while it learns."""

    def __init__(self, model: PCLModel, *, teacher_dim: int) -> None:
        super().__init__()
        self.model = model
        self.adapter = HEADS.get("distillation_head")(model.backbone.num_features, out_features=teacher_dim)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """As `PCLModel.forward`, with `adapted_feature[B, N, D']` added."""
        outputs = self.model(clips)
        return {**outputs, "adapted_feature": self.adapter(outputs["feature"])}


@TASKS.register_as("distill")
class DistillTask(PCLTask):
    """Both of PCL's losses, and distillation on the same tuples (Camarena et al., 2022, section 3 and figure 2).

    `loss = CE(pretext) + contrast_weight * contrastive + sum of weight * distillation loss`; the paper's own has one of
    them, `logit_distillation`.

    Args:
        model: the student.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: 0.5 in PCL.
        teacher: gives the outputs that the losses compare.
        losses: by name, each with its weight; the name is what its value is logged as.
    """

    needs_teacher: ClassVar[bool] = True

    def __init__(
        self,
        model: PCLModel,
        *,
        contrast: nn.Module,
        contrast_weight: float = 0.5,
        teacher: FrozenTeacher,
        losses: Mapping[str, tuple[float, DistillationLoss]],
    ) -> None:
        super().__init__(model, contrast=contrast, contrast_weight=contrast_weight)
        self.teacher = teacher
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in losses.items()})
        self.weights = {name: weight for name, (weight, _) in losses.items()}
        self.replay: ReplayStore | None = None  # where the teacher's answers are kept and looked up
        if any(loss.adapts for _, loss in losses.values()):
            self.trainable = AdaptedStudent(model, teacher_dim=backbone_of(teacher.model).num_features)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, model: PCLModel, num_videos: int, teacher: nn.Module | None = None) -> Self:
        """Reads CONTRAST and TEACHER; `teacher` is the built network, checked by `check_teacher`."""
        assert isinstance(teacher, Model), "TASK.NAME distill is handed a built teacher"
        base = PCLTask.from_config(cfg, model=model, num_videos=num_videos)
        own_frames = cfg.TEACHER.SAMPLING == "own"
        frozen = FrozenTeacher(teacher, clip_spec=None if own_frames else model.backbone.clip_spec)
        if own_frames:
            _check_own_frames(frozen.wanted, pretext=cfg.PRETEXT.NAME, tuple_len=cfg.PRETEXT.TUPLE_LEN)
        dims = {
            "student_dim": model.backbone.num_features,
            "teacher_dim": backbone_of(frozen.model).num_features,
        }
        losses = {
            name: (weight, LOSSES.get(name).from_config(cfg, **dims))
            for name, weight in zip(cfg.TEACHER.LOSSES, cfg.TEACHER.LOSS_WEIGHTS, strict=True)
        }
        return cls(model, contrast=base.contrast, contrast_weight=base.contrast_weight, teacher=frozen, losses=losses)

    @property
    def teacher_clip_spec(self) -> ClipSpec | None:  # type: ignore[override]
        """The teacher's, where it takes frames of its own."""
        return self.teacher.wanted if self.teacher.given is None else None

    @property
    def student(self) -> PCLModel:
        """The network without the adapter."""
        model = self.trainable.model if isinstance(self.trainable, AdaptedStudent) else self.trainable
        assert isinstance(model, PCLModel)
        return model

    def describe(self) -> str:
        """What is learned from whom."""
        losses = " + ".join(f"{weight:g} * {name}" for name, weight in self.weights.items())
        return f"{super().describe()} + {losses}; {self.teacher.describe()}"

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """As `PCLTask.forward`, with each distillation loss and their weighted sum `kd_loss` added.

        Where the teacher draws frames of its own, the batch also has `teacher_clips`, uint8
        `[B, N, C, T', H', W']`. To log, where both have pretext logits: `teacher_agreement`, the share of equal
        answers.
        """
        scalars, student = self.forward_with_outputs(batch)
        teacher = self.teacher_outputs(batch)
        parts = {}
        for name, loss in self.losses.items():
            assert isinstance(loss, DistillationLoss)
            own = "adapted_feature" if loss.adapts else loss.output
            parts[name] = loss(student[own], teacher[loss.output])
        kd_loss = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        scalars = {
            **scalars,
            "loss": scalars["loss"] + kd_loss,
            "kd_loss": kd_loss.detach(),
            **{name: part.detach() for name, part in parts.items()},
        }
        if "pretext_logits" in teacher and teacher["pretext_logits"].shape == student["pretext_logits"].shape:
            answers, wanted = (outputs["pretext_logits"].detach().argmax(dim=1) for outputs in (student, teacher))
            scalars["teacher_agreement"] = (answers == wanted).float().mean()
        return scalars

    def teacher_outputs(self, batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's outputs for a batch, from `replay` where there is one."""
        clips = batch["clips"] if self.teacher.given is not None else batch["teacher_clips"]
        return self.teacher(clips) if self.replay is None else self.replay.answer(batch, lambda: self.teacher(clips))

    def teacher_output_shapes(self, *, tuple_len: int) -> dict[str, tuple[int, ...]]:
        """Of one sample, those of the teacher's outputs that the losses compare, and of its pretext logits."""
        model = self.teacher.model
        shapes: dict[str, tuple[int, ...]] = {"feature": (tuple_len, backbone_of(model).num_features)}
        if isinstance(model, PCLModel):
            shapes["pretext_logits"] = (model.pretext_head.num_classes,)
        compared = {loss.output for loss in self.losses.values() if isinstance(loss, DistillationLoss)}
        return {name: shape for name, shape in shapes.items() if name in compared | {"pretext_logits"}}

    def task_state(self) -> dict[str, Tensor]:
        """The contrastive loss's memory, the distillation losses' queues, and the adapter."""
        return self._besides_student().state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `task_state`."""
        self._besides_student().load_state_dict(state)

    def _besides_student(self) -> nn.ModuleDict:
        parts = {"contrast": self.contrast, "losses": self.losses}
        if isinstance(self.trainable, AdaptedStudent):
            parts["adapter"] = self.trainable.adapter
        return nn.ModuleDict(parts)
