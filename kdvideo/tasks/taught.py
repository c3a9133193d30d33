"""What all tasks with teachers share: a student with its lessons' adapters, and what lessons need around a step."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from kdvideo.data.batch import Batch, part_of_teacher, with_part
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.views import TeacherViews
from kdvideo.models.spec import Model
from kdvideo.tasks.lesson import Lesson
from kdvideo.tasks.outputs import compute_outputs
from kdvideo.tasks.task import Task

__all__ = ["AdaptedStudent", "TaughtTask"]


class AdaptedStudent(nn.Module):
    """A student with its lessons' adapters, all that is trained.

    Args:
        model: the student. It may be a backbone alone.
        lessons: give the adapters, which are trained here but called by the lessons, and the names of the stages whose
            maps are computed.
    """

    def __init__(self, model: Model, *, lessons: Sequence[Lesson]) -> None:
        super().__init__()
        self.model = model
        self.adapters = nn.ModuleList(part for lesson in lessons for part in lesson.trained)
        self.layers = tuple(dict.fromkeys(layer for lesson in lessons for layer in lesson.layers))

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """Computes what `compute_outputs` does for clips `[B, N, C, T, H, W]`."""
        return compute_outputs(self.model, clips, stages=self.layers)


class TaughtTask(Task):
    """A task with lessons. It keeps their answers in their stores, and their state in the checkpoint."""

    def take_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Sets the teachers with their losses. The constructor calls it last.

        Args:
            lessons: may be empty.
        """
        self._lessons = nn.ModuleList(lessons)
        self.teacher_views = lessons[0].views if lessons else None
        self.teacher_clip_spec = lessons[0].clip_spec if lessons else None

    @property
    def teacher_inputs(self) -> list[ClipSpec | TeacherViews | None]:
        """Returns for each lesson what `Task.teacher_inputs` says."""
        return [lesson.clip_spec if lesson.views is None else lesson.views for lesson in self.lessons]

    @property
    def lessons(self) -> Sequence[Lesson]:
        """The teachers with their losses."""
        return [lesson for lesson in self._lessons if isinstance(lesson, Lesson)]

    def learn(
        self, student: Mapping[str, Tensor], batch: Batch, *, prepared: Tensor, scalars: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Adds the lessons' losses to those of the task itself.

        Args:
            student: the student's outputs, e.g. `feature[B, N, D]`.
            batch: the batch.
            prepared: the student's prepared clips `[B, N, C, T, H, W]`.
            scalars: `loss`, with a gradient, and others for the log. Empty if all is learnt from teachers.

        Returns:
            `scalars` with the whole `loss`, and the scalars of `Lesson.forward` without a gradient. Those of the second
            teacher are called `NAME_2` and so on; `kd_loss` is the sum over all.
        """
        kd_losses: list[Tensor] = []
        logged: dict[str, Tensor] = {}
        for number, lesson in enumerate(self.lessons, start=1):
            taught = lesson(student, part_of_teacher(batch, number), prepared=prepared)
            kd_losses.append(taught.pop("kd_loss"))
            logged |= {_numbered(name, number): value for name, value in taught.items()}
        kd_loss = torch.stack(kd_losses).sum() if len(kd_losses) > 1 else kd_losses[0]
        loss = scalars["loss"] + kd_loss if scalars else kd_loss
        return {**scalars, "loss": loss, "kd_loss": kd_loss.detach(), **logged}

    def is_steady(self, batch: Batch) -> bool:
        """Tells what `Task.is_steady` does. Answers that are still to be stored are no steady work."""
        return super().is_steady(batch) and all(
            lesson.has_answers(part_of_teacher(batch, number)) for number, lesson in enumerate(self.lessons, start=1)
        )

    def complete_batch(self, batch: Batch) -> Batch:
        """Adds the stored answers of the teachers to a batch."""
        for number, lesson in enumerate(self.lessons, start=1):
            batch = with_part(batch, lesson.complete_batch(part_of_teacher(batch, number)), number)
        return batch

    def flush(self) -> None:
        """Writes the teachers' latest answers to their stores."""
        for lesson in self.lessons:
            lesson.flush()

    def lesson_parts(self) -> dict[str, nn.Module]:
        """Returns the distillation losses, of which some have queues, and the adapters: their part of `task_state`."""
        parts: dict[str, nn.Module] = {}
        for number, lesson in enumerate(self.lessons, start=1):
            parts |= {_numbered(name, number): module for name, module in lesson.kept.items()}
        return parts


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"
