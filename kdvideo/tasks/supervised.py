"""Learning classes: from labels, from a teacher that knows them, or from both."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.data.batch import NO_CLASS, Batch
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.needs import Needs
from kdvideo.registry import TASKS
from kdvideo.tasks.lesson import Lesson, build_lessons
from kdvideo.tasks.preparation import ClipPreparation
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.task import SHARE_OF
from kdvideo.tasks.taught import AdaptedStudent, TaughtTask

__all__ = ["SupervisedTask"]


@TASKS.register_as("supervised")
class SupervisedTask(TaughtTask):
    """Cross-entropy over the classes, with one clip per video, and the losses of teachers.

    `loss = sum of the labelled clips' CE / B + sum of weight * distillation loss` (Hinton et al., arXiv 1503.02531,
    section 2): a clip without a label learns from the teachers alone.

    Args:
        model: a backbone with a classifier.
        lessons: each teacher with its losses. Defaults to labels alone.
    """

    needs: ClassVar[Needs] = Needs(classes=True, teacher="may", losses=True, replay=True, several=True)
    trainable: ClassificationModel | AdaptedStudent

    def __init__(self, model: ClassificationModel, *, lessons: Sequence[Lesson] = ()) -> None:
        super().__init__()
        self.trainable = model
        if lessons:
            self.trainable = AdaptedStudent(model, lessons=lessons)
        self.prepare = ClipPreparation(model.backbone.clip_spec)
        self.take_lessons(lessons)

    @classmethod
    def from_config(
        cls,
        cfg: CfgNode,
        *,
        model: ClassificationModel,
        num_videos: int,
        teacher: Model | None = None,
        replay: ReplayStore | None = None,
        others: Sequence[tuple[Model, ReplayStore | None]] = (),
    ) -> Self:
        """Builds the task from the model, and from TEACHER or TEACHERS if there is a teacher.

        Args:
            cfg: a valid config.
            model: the student.
            num_videos: number of training videos.
            teacher: the teacher's network, which `check_teacher` has checked.
            replay: a store of the teacher's answers.
            others: more teachers with their stores, those of TEACHERS after the first.

        Raises:
            ValueError: the teacher tells other classes apart than the student.
        """
        if teacher is None:
            return cls(model)
        pairs = [  # a pretext head takes tuples
            (one if isinstance(one, ClassificationModel) else backbone_of(one), store)
            for one, store in [(teacher, replay), *others]
        ]
        return cls(model, lessons=build_lessons(cfg, student=model, teachers=pairs))

    @property
    def student(self) -> Model:
        """The network without the adapters."""
        return self.trainable.model if isinstance(self.trainable, AdaptedStudent) else self.trainable

    def describe(self) -> str:
        """Returns a description of the losses and the teachers, in words."""
        losses = ["cross-entropy over the classes", *(lesson.describe_losses() for lesson in self.lessons)]
        return "; ".join([" + ".join(losses), *(lesson.teacher.describe() for lesson in self.lessons)])

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: `clips` uint8 `[B, 1, C, T, H, W]`, `class_id` `[B]`. Mixed clips have `share` and `partner_class`
                `[B]`: the loss is the same mixture of both labels' losses. With a teacher, `class_id` is -1 for a clip
                without a label, and not there if no video has one; see `DistillTask` for what else there is.

        Returns:
            Scalars: `loss` to minimise, and `train_accuracy` of labelled clips for the log. With a teacher also those
            of `Lesson.forward`, without a gradient.
        """
        if isinstance(self.trainable, AdaptedStudent):
            return self._learn_from_teachers(self.trainable, batch)
        logits = self.trainable(self.prepare(batch["clips"].flatten(0, 1)))
        accuracy = (logits.detach().argmax(dim=1) == batch["class_id"]).float().mean()
        is_mixed = "partner_class" in batch
        loss = mixed_losses(logits, batch).mean() if is_mixed else F.cross_entropy(logits, batch["class_id"])
        return {"loss": loss, "train_accuracy": accuracy}

    def _learn_from_teachers(self, trainable: AdaptedStudent, batch: Batch) -> dict[str, Tensor]:
        prepared = self.prepare(batch["clips"])
        student = trainable(prepared)
        return self.learn(student, batch, prepared=prepared, scalars=label_losses(student["class_logits"], batch))

    def task_state(self) -> dict[str, Tensor]:
        """Returns the distillation losses' queues and the adapters. It is empty without a teacher."""
        return nn.ModuleDict(self.lesson_parts()).state_dict()

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the result of `task_state`."""
        nn.ModuleDict(self.lesson_parts()).load_state_dict(state)


def mixed_losses(logits: Tensor, batch: Batch) -> Tensor:
    """Returns the cross-entropy of mixed clips, `[B]`: that of both labels, in the clips' shares.

    A label that is not known adds nothing.

    Args:
        logits: `[B, K]`.
        batch: `class_id`, `partner_class` and `share`, the share of the first, `[B]`.
    """
    own, other = (
        F.cross_entropy(logits, batch[name], ignore_index=NO_CLASS, reduction="none")
        for name in ("class_id", "partner_class")
    )
    return torch.lerp(other, own, batch["share"].to(own.dtype))


def label_losses(logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Computes the loss and the accuracy of the labelled clips among a batch.

    The sum of their cross-entropies is divided by all B clips. So processes and accumulated parts may be averaged,
    whatever their shares of labelled clips are.

    Args:
        logits: `[B, 1, K]`.
        batch: `class_id` `[B]`, and of mixed clips what `mixed_losses` takes. Without it, the result is empty.

    Returns:
        The scalars `loss`, with a gradient, and `label_loss` and `train_accuracy` for the log. The last one comes with
        the share of labelled clips, as `Task.forward` says.
    """
    if "class_id" not in batch:
        return {}
    logits, labels = logits.flatten(0, 1), batch["class_id"]
    if "partner_class" in batch:
        loss = mixed_losses(logits, batch).sum() / len(labels)
    else:
        loss = F.cross_entropy(logits, labels, ignore_index=NO_CLASS, reduction="sum") / len(labels)
    right, known = logits.detach().argmax(dim=1) == labels, labels != NO_CLASS
    accuracy, share = right.float().sum() / len(labels), known.float().mean()
    return {"loss": loss, "label_loss": loss.detach(), "train_accuracy": accuracy, f"{SHARE_OF}train_accuracy": share}
