"""What licences of models and of their teachers forbid."""

import re
from collections.abc import Sequence

from kdvideo.zoo.entry import Teacher

__all__ = ["UNSTATED", "commerce_warning", "forbids_commerce", "teacher_licence"]

# As model cards and timm spell them: cc-by-nc-sa-4.0, fair-noncommercial-research-license, "research use only".
# The Academic Free License allows all uses.
# The last three are licences of NVIDIA, Apple and Meta for research, whose names do not say so.
_FORBIDS = re.compile(
    r"\bnc\b|non[ -]?commercial|\bnot[ -]for[ -]commercial|\bresearch[ -](use[ -]|purposes[ -])?only\b"
    r"|\bacademic\b(?![ -]free)|\bnsclv1\b|\bapple-amlr\b|\bseer-license\b",
    flags=re.I,
)
UNSTATED = "unspecified"  # the default of ZOO.LICENCE, which states nothing


def teacher_licence(teacher: Teacher | None) -> str:
    """Returns the licence of a model's teacher. "" without a teacher, or if nothing states it."""
    return teacher.get("licence", "") if teacher else ""


def forbids_commerce(licence: str) -> bool:
    """Returns whether a licence forbids commercial use, as far as its name or text tells.

    Example:
        >>> forbids_commerce("cc-by-nc-4.0"), forbids_commerce("Apache-2.0")
        (True, False)
    """
    return bool(_FORBIDS.search(licence.replace("_", "-")))


def commerce_warning(licence: str, teachers: Sequence[Teacher] = ()) -> str:
    """Returns one line if the licence of a model or of a teacher forbids commercial use, else "".

    Args:
        licence: the model's own licence.
        teachers: what its entry says of its teachers.
    """
    if forbids_commerce(licence):
        return f"no commercial use: the licence is {_one_line(licence)}"
    bound = [
        f"the licence of its teacher {_one_line(teacher['name'])} is {_one_line(teacher_licence(teacher))}"
        for teacher in teachers
        if forbids_commerce(teacher_licence(teacher))
    ]
    if bound:
        return f"no commercial use: {', '.join(bound)}"
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
