"""PCL with a teacher. The student imitates the teacher's answers or features."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from kdvideo.data.batch import Batch
from kdvideo.data.views import TeacherViews
from kdvideo.former_names import former_attributes
from kdvideo.losses.contrast import ContrastiveLoss
from kdvideo.losses.distill import DistillationLoss
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import HEADS, LOSSES, TASKS
from kdvideo.tasks.pcl import build_contrast, describe_pcl, pcl_losses
from kdvideo.tasks.preparation import ClipPreparation
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.task import Task
from kdvideo.tasks.teacher import Frames, FrozenTeacher, choose_frames
from kdvideo.tasks.views import build_views, match_views, view_clips

__all__ = ["AdaptedStudent", "DistillTask"]

__getattr__ = former_attributes(__name__)


class AdaptedStudent(nn.Module):
    """A student with an adapter to the teacher's feature length.

    Args:
        model: the student. Without a pretext it is a backbone alone.
        adapter: maps features `[B, N, D]` to `[B, N, D']`. It is `nn.Identity` if no loss needs an adapter.
    """

    def __init__(self, model: PCLModel | Backbone, *, adapter: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.adapter = adapter

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Computes the outputs of `PCLModel` for clips `[B, N, C, T, H, W]`, and `adapted_feature[B, N, D']`.

        A backbone alone gives `feature[B, N, D]`.
        """
        if isinstance(self.model, PCLModel):
            outputs = self.model(clips)
        else:
            outputs = {"feature": self.model(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])}
        return {**outputs, "adapted_feature": self.adapter(outputs["feature"])}


@TASKS.register_as("distill")
class DistillTask(Task):
    """PCL's two losses and distillation on the same tuples. A student without heads learns from the teacher alone.

    `loss = CE(pretext) + contrast_weight * contrastive + sum of weight * distillation loss`. The paper uses one
    distillation loss, `logit_distillation` (Camarena et al., 2022, section 3 and figure 2).

    Args:
        model: the student. A backbone alone has neither a pretext nor a contrastive loss.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: weight of the contrastive loss. 0.5 in PCL.
        teacher: the teacher, whose outputs the losses use.
        losses: each distillation loss with its weight, by name. The log uses the same names.
        replay: a store of the teacher's answers. Defaults to computing them at each step.
        views: the views to which the teacher answers, if its `frames` are "views". They need a `replay`.
    """

    needs_teacher: ClassVar[bool] = True
    takes_replay: ClassVar[bool] = True
    trainable: AdaptedStudent

    def __init__(
        self,
        model: PCLModel | Backbone,
        *,
        contrast: ContrastiveLoss,
        contrast_weight: float = 0.5,
        teacher: FrozenTeacher,
        losses: Mapping[str, tuple[float, DistillationLoss]],
        replay: ReplayStore | None = None,
        views: TeacherViews | None = None,
    ) -> None:
        super().__init__()
        adapter: nn.Module = nn.Identity()
        if any(loss.adapts for _, loss in losses.values()):
            adapter = HEADS.get("distillation_head")(backbone_of(model).num_features, out_features=teacher.num_features)
        self.trainable = AdaptedStudent(model, adapter=adapter)
        self.prepare = ClipPreparation(backbone_of(model).clip_spec)
        self.contrast = contrast
        self.contrast_weight = contrast_weight
        self.teacher = teacher
        self.teacher_views = views
        self.teacher_clip_spec = teacher.wanted if teacher.frames == "own" else None
        self.weighted_losses = dict(losses)
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in losses.items()})
        self.replay = replay

    @classmethod
    def from_config(
        cls,
        cfg: CfgNode,
        *,
        model: PCLModel | Backbone,
        num_videos: int,
        teacher: Model,
        replay: ReplayStore | None = None,
    ) -> Self:
        """Builds the task from CONTRAST and TEACHER.

        Args:
            cfg: a valid config.
            model: the student.
            num_videos: number of training videos.
            teacher: the teacher's network, which `check_teacher` has checked.
            replay: a store of the teacher's answers.
        """
        contrast = build_contrast(cfg, num_videos=num_videos)
        views = build_views(cfg, teacher, replay=replay)
        frames: Frames = choose_frames(cfg.TEACHER.SAMPLING, teacher)[0] if views is None else "views"
        frozen = FrozenTeacher(teacher, clip_spec=backbone_of(model).clip_spec, frames=frames)
        dims = {"student_dim": backbone_of(model).num_features, "teacher_dim": frozen.num_features}
        losses = {
            name: (weight, LOSSES.get(name).from_config(cfg, **dims))
            for name, weight in zip(cfg.TEACHER.LOSSES, cfg.TEACHER.LOSS_WEIGHTS, strict=True)
        }
        return cls(
            model,
            contrast=contrast,
            contrast_weight=cfg.CONTRAST.WEIGHT,
            teacher=frozen,
            losses=losses,
            replay=replay,
            views=views,
        )

    @property
    def num_negatives(self) -> int:
        """The number of negatives per sample."""
        return self.contrast.num_negatives

    @property
    def student(self) -> PCLModel | Backbone:
        """The network without the adapter."""
        return self.trainable.model

    def describe(self) -> str:
        """Returns a description of the losses and the teacher, in words."""
        losses = " + ".join(f"{weight:g} * {name}" for name, (weight, _) in self.weighted_losses.items())
        if isinstance(self.student, PCLModel):
            losses = f"{describe_pcl(self.contrast, self.contrast_weight)} + {losses}"
        return f"{losses}; {self.teacher.describe()}"

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: see `PCLTask`. If the teacher has its own frames, it also has `teacher_clips`,
                uint8 `[B, N, C, T', H', W']`. If it has views, the batch has `view`, and `teacher_clips` only if an
                answer is missing.

        Returns:
            The scalars of `pcl_losses` if the student has its heads, each distillation loss and their weighted sum
            `kd_loss`. If both networks have pretext logits, also `teacher_agreement` for the log, the share of equal
            answers.
        """
        prepared = self.prepare(batch["clips"])
        student = self.trainable(prepared)
        scalars = self._own_losses(student, batch)
        teacher = self.teacher_outputs(batch, prepared=prepared if self.replay is None else None)
        if self.teacher_views is not None:
            student, teacher = match_views(student, teacher, kept=self.teacher_views.kept)
        parts = {
            name: loss(student["adapted_feature" if loss.adapts else loss.output], teacher[loss.output])
            for name, (_, loss) in self.weighted_losses.items()
        }
        kd_loss = torch.stack([weight * parts[name] for name, (weight, _) in self.weighted_losses.items()]).sum()
        scalars = {
            **scalars,
            "loss": scalars["loss"] + kd_loss if scalars else kd_loss,
            "kd_loss": kd_loss.detach(),
            **{name: part.detach() for name, part in parts.items()},
        }
        if "pretext_logits" in {*teacher} & {*student} and (
            teacher["pretext_logits"].shape == student["pretext_logits"].shape
        ):
            answers, wanted = (outputs["pretext_logits"].detach().argmax(dim=1) for outputs in (student, teacher))
            scalars["teacher_agreement"] = (answers == wanted).float().mean()
        return scalars

    def _own_losses(self, student: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Returns what `pcl_losses` returns. It is empty for a student without heads."""
        if not isinstance(self.student, PCLModel):
            return {}
        return pcl_losses(student, batch, contrast=self.contrast, contrast_weight=self.contrast_weight)

    def teacher_outputs(self, batch: Batch, *, prepared: Tensor | None = None) -> Mapping[str, Tensor]:
        """Returns the teacher's outputs, `feature[B, N, D]` and others. If there is a `replay`, they come from it.

        A teacher with views has `feature[B, D]` only.

        Args:
            batch: see `forward`.
            prepared: the student's prepared clips, which the teacher takes if its input is the same.
        """

        def compute() -> dict[str, Tensor]:
            if self.teacher_views is not None:
                return {"feature": self.teacher(view_clips(batch))["feature"][:, 0]}
            if prepared is not None and self.teacher.sees_the_same:
                return self.teacher.answer(prepared)
            return self.teacher(self.teacher.choose_clips(batch))

        return compute() if self.replay is None else self.replay.answer(batch, compute)

    def is_steady(self, batch: Batch) -> bool:
        """Tells what `Task.is_steady` does. Answers that are still to be stored are no steady work."""
        return super().is_steady(batch) and (self.replay is None or self.replay.has_answers(batch))

    def complete_batch(self, batch: Batch) -> Batch:
        """Adds the answers of `replay` to a batch, if there is one."""
        if self.replay is None:
            return batch
        completed = self.replay.look_up(batch)
        if self.teacher_views is not None and "teacher_clips" not in batch:
            completed = self.replay.look_up_again(batch, completed)
        if self.teacher_views is not None and self.replay.has_answers(completed):
            completed.pop("teacher_clips", None)  # another run has stored the answers meanwhile
        return completed

    def flush(self) -> None:
        """Writes the teacher's latest answers to `replay`."""
        if self.replay is not None:
            self.replay.flush()

    def task_state(self) -> dict[str, Tensor]:
        """Returns the contrastive loss's memory, the distillation losses' queues, and the adapter."""
        return self._besides_student().state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the result of `task_state`."""
        self._besides_student().load_state_dict(state)

    def _besides_student(self) -> nn.ModuleDict:
        return nn.ModuleDict({"contrast": self.contrast, "losses": self.losses, "adapter": self.trainable.adapter})
