"""What a task needs of data and teachers. Whoever prepares a run asks it here."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from kdvideo.registry import TASKS

__all__ = ["Needs", "needs_of"]


@dataclass(frozen=True)
class Needs:
    """What a task needs of data and teachers, as its class attribute `needs`.

    Attributes:
        classes: whether it learns classes. Then its model is a `ClassificationModel`, and a sample is one clip, which
            has a `class_id` unless a teacher knows the classes of unlabelled videos. Otherwise, its model is a
            `PCLModel`, and a sample is a tuple of PRETEXT.TUPLE_LEN clips with a `pretext_label`; with PRETEXT.NAME
            none, it is a backbone and one clip.
        teacher: whether `from_config` must, may or must not get a `teacher`, the network of TEACHER.WEIGHTS.
        losses: whether it uses the distillation losses of TEACHER.LOSSES. They are then checked beforehand.
        replay: whether `from_config` takes `replay`, a store of the teacher's answers.
        several: whether `from_config` takes `others`, more teachers with their stores: those of TEACHERS.

    Example:
        >>> Needs(classes=True, teacher="may").clips_per_sample(tuple_len=3)
        1
    """

    classes: bool = False
    teacher: Literal["no", "may", "must"] = "no"
    losses: bool = False
    replay: bool = False
    several: bool = False

    def clips_per_sample(self, tuple_len: int) -> int:
        """Returns the number of clips of a sample.

        Args:
            tuple_len: PRETEXT.TUPLE_LEN.
        """
        return 1 if self.classes else tuple_len

    def has_teacher(self, *, named: bool) -> bool:
        """Tells whether a run has a teacher.

        Args:
            named: whether its config names one.
        """
        return self.teacher == "must" or (self.teacher == "may" and named)


def needs_of(name: str) -> Needs:
    """Returns what a registered task needs.

    Tasks that were written for earlier versions say it in booleans: `needs_labels`, `needs_teacher`, `takes_teacher`,
    `takes_losses`, `takes_replay` and `takes_several`. A boolean that a task has replaces that part of its `needs`.

    Args:
        name: a name of TASKS.

    Raises:
        ValueError: there is no such task, or its `needs` are no `Needs`.
    """
    task = TASKS.get(name)
    needs: Any = getattr(task, "needs", Needs())
    if not isinstance(needs, Needs):
        raise ValueError(f"TASK.NAME {name} has needs {needs!r}: they must be kdvideo.tasks.Needs(..)")
    must = getattr(task, "needs_teacher", needs.teacher == "must")
    may = getattr(task, "takes_teacher", needs.teacher == "may")
    return replace(
        needs,
        classes=getattr(task, "needs_labels", needs.classes),
        teacher="must" if must else "may" if may else "no",
        losses=getattr(task, "takes_losses", needs.losses),
        replay=getattr(task, "takes_replay", needs.replay),
        several=getattr(task, "takes_several", needs.several),
    )
