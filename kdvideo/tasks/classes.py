"""The classes of a student and of its teacher: whether they are the same, and in which order."""

from collections.abc import Sequence

from kdvideo.models.pcl import ClassificationModel

__all__ = ["class_order"]

_SHOWN = 3


def class_order(student: ClassificationModel, teacher: ClassificationModel, *, name: str) -> list[int] | None:
    """Matches a teacher's outputs to a student's by the names of their classes.

    Args:
        student: the student. Its classes are those of the dataset.
        teacher: the teacher.
        name: the teacher's name, for messages.

    Returns:
        For each of the student's classes, the number of the teacher's output. None if they are in the same order, or if
        one of the two does not name its classes.

    Raises:
        ValueError: they tell other classes apart.
    """
    own, theirs = list(student.class_names), list(teacher.class_names)
    if own and theirs:
        missing, others = sorted(set(own) - set(theirs)), sorted(set(theirs) - set(own))
        if missing or others:
            parts = [f"it lacks {_few(missing)}"] * bool(missing) + [f"it also has {_few(others)}"] * bool(others)
            raise ValueError(
                f"`teacher` {name} tells other classes apart than the dataset: {' and '.join(parts)}; choose a teacher "
                "of the dataset's classes, or give it videos without labels"
            )
        return None if own == theirs else [theirs.index(each) for each in own]
    if student.num_classes != teacher.num_classes:
        raise ValueError(
            f"`teacher` {name} tells {teacher.num_classes} classes apart, but the dataset has {student.num_classes}: "
            "choose a teacher of the dataset's classes, or give it videos without labels"
        )
    return None


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")
    return f"{len(names)} ({shown})"
