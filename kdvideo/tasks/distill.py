"""PCL with teachers. The student imitates their answers or features."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from kdvideo.data.batch import Batch
from kdvideo.former_names import former_attributes
from kdvideo.losses.contrast import ContrastiveLoss
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.needs import Needs
from kdvideo.registry import TASKS
from kdvideo.tasks.lesson import Lesson, build_lessons
from kdvideo.tasks.pcl import build_contrast, describe_pcl, pcl_losses
from kdvideo.tasks.preparation import ClipPreparation
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.taught import AdaptedStudent, TaughtTask

__all__ = ["AdaptedStudent", "DistillTask"]

__getattr__ = former_attributes(__name__)


@TASKS.register_as("distill")
class DistillTask(TaughtTask):
    """PCL's two losses and distillation on the same tuples. A student without heads learns from its teachers alone.

    `loss = CE(pretext) + contrast_weight * contrastive + sum of weight * distillation loss`. The paper uses one
    distillation loss, `logit_distillation` (Camarena et al., 2022, section 3 and figure 2).

    Args:
        model: the student. A backbone alone has neither a pretext nor a contrastive loss.
        contrast: a contrastive loss of `LOSSES`.
        contrast_weight: weight of the contrastive loss. 0.5 in PCL.
        lessons: each teacher with its losses.
    """

    needs: ClassVar[Needs] = Needs(teacher="must", losses=True, replay=True, several=True)
    trainable: AdaptedStudent

    def __init__(
        self,
        model: PCLModel | Backbone,
        *,
        contrast: ContrastiveLoss,
        contrast_weight: float = 0.5,
        lessons: Sequence[Lesson],
    ) -> None:
        super().__init__()
        self.trainable = AdaptedStudent(model, lessons=lessons)
        self.prepare = ClipPreparation(backbone_of(model).clip_spec)
        self.contrast = contrast
        self.contrast_weight = contrast_weight
        self.take_lessons(lessons)

    @classmethod
    def from_config(
        cls,
        cfg: CfgNode,
        *,
        model: PCLModel | Backbone,
        num_videos: int,
        teacher: Model,
        replay: ReplayStore | None = None,
        others: Sequence[tuple[Model, ReplayStore | None]] = (),
    ) -> Self:
        """Builds the task from CONTRAST, and from TEACHER or TEACHERS.

        Args:
            cfg: a valid config.
            model: the student.
            num_videos: number of training videos.
            teacher: the teacher's network, which `check_teacher` has checked.
            replay: a store of the teacher's answers.
            others: more teachers with their stores, those of TEACHERS after the first.
        """
        contrast = build_contrast(cfg, num_videos=num_videos)
        lessons = build_lessons(cfg, student=model, teachers=[(teacher, replay), *others])
        return cls(model, contrast=contrast, contrast_weight=cfg.CONTRAST.WEIGHT, lessons=lessons)

    @property
    def num_negatives(self) -> int:
        """The number of negatives per sample."""
        return self.contrast.num_negatives

    @property
    def student(self) -> Model:
        """The network without the adapters."""
        return self.trainable.model

    def describe(self) -> str:
        """Returns a description of the losses and the teachers, in words."""
        losses = " + ".join(lesson.describe_losses() for lesson in self.lessons)
        if isinstance(self.student, PCLModel):
            losses = f"{describe_pcl(self.contrast, self.contrast_weight)} + {losses}"
        return "; ".join([losses, *(lesson.teacher.describe() for lesson in self.lessons)])

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: see `PCLTask`. If the teacher has its own frames, it also has `teacher_clips`,
                uint8 `[B, N, C, T', H', W']`. If it has views, the batch has `view`, and `teacher_clips` only if an
                answer is missing.

        Returns:
            The scalars of `pcl_losses` if the student has its heads, and those of `Lesson.forward`, without a gradient.
        """
        prepared = self.prepare(batch["clips"])
        student = self.trainable(prepared)
        return self.learn(student, batch, prepared=prepared, scalars=self._own_losses(student, batch))

    def _own_losses(self, student: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Returns what `pcl_losses` returns. It is empty for a student without heads."""
        if not isinstance(self.student, PCLModel):
            return {}
        return pcl_losses(student, batch, contrast=self.contrast, contrast_weight=self.contrast_weight)

    def task_state(self) -> dict[str, Tensor]:
        """Returns the contrastive loss's memory, the distillation losses' queues, and the adapters."""
        return self._besides_student().state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the result of `task_state`."""
        self._besides_student().load_state_dict(state)

    def _besides_student(self) -> nn.ModuleDict:
        return nn.ModuleDict({"contrast": self.contrast, **self.lesson_parts()})
