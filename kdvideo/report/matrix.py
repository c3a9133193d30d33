"""The teacher-student matrix: all students of one setting by their teachers, and those without a teacher."""

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kdvideo.config import parse_config, settings_id
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.registry import BACKBONES
from kdvideo.report.runs import RunRecord, or_empty
from kdvideo.zoo.entry import Facts, ZooEntry

__all__ = ["ALONE", "PAPER", "Cell", "Matrix", "Student", "build_matrices", "students_of"]

PAPER = ("c3d", "r3d_10", "r2plus1d_10")  # the paper's three architectures, always shown
ALONE = "no teacher"
_SETTING = (
    "{dataset}; {PRETEXT_NAME}, clips of {CLIP_LENGTH} x {CLIP_SIZE}², width {MODEL_WIDTH}, {SOLVER_EPOCHS} epochs, "
    "{SOLVER_SCHEDULE} rate"
)


@dataclass(frozen=True)
class Student:
    """A measured student.

    Attributes:
        name: name of its entry or run.
        backbone: its architecture.
        teacher: the teacher's architecture, `ALONE`, or the teacher's name if its architecture is unknown.
        losses: the distillation losses. "" for a student alone.
        setting: everything that must be equal to compare two students: data, clips, width, pretext, epochs.
        accuracy: pretext accuracy in [0, 1].
        retrieval: retrieval@1 in [0, 1]. None if it was not measured.
    """

    name: str
    backbone: str
    teacher: str
    losses: str
    setting: str
    accuracy: float
    retrieval: float | None


@dataclass(frozen=True)
class Cell:
    """The students of one teacher and one set of losses, with their mean values.

    Attributes:
        losses: the distillation losses. "" for students alone.
        accuracy: mean pretext accuracy.
        retrieval: mean retrieval@1 of the students that have it. None if none has.
        gain: accuracy minus that of the same architecture alone. None if that was not measured.
        names: names of the students.
    """

    losses: str
    accuracy: float
    retrieval: float | None
    gain: float | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """The matrix of one setting.

    Attributes:
        setting: the setting in words.
        students: the architectures of the columns.
        teachers: the architectures of the rows. `ALONE` is the last one.
        cells: the measured students of each (teacher, student). A pair without any has no key.
    """

    setting: str
    students: tuple[str, ...]
    teachers: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Cell, ...]]


def students_of(entries: Sequence[ZooEntry], runs: Sequence[RunRecord]) -> list[Student]:
    """Collects all students with a pretext accuracy.

    They are entries trained with kdvideo, and finished runs without an entry.
    """
    own = [entry for entry in entries if entry.layout == "kdvideo"]
    published = {settings_id(entry.config) for entry in own}
    backbones = {entry.name: entry.model.backbone for entry in entries}
    found = [_student(entry.name, or_empty(partial(parse_config, entry.config)), entry, backbones) for entry in own]
    found += [
        _student(run.name, run.config, run.facts, backbones)
        for run in runs
        if run.facts is not None and settings_id(run.facts.config) not in published
    ]
    return [student for student in found if student is not None]


def build_matrices(students: Sequence[Student]) -> list[Matrix]:
    """Builds one matrix per setting in which a student had a teacher.

    If no student had a teacher, the result is a single empty matrix.
    """
    settings: dict[str, list[Student]] = defaultdict(list)
    for student in students:
        settings[student.setting].append(student)
    taught = {name: group for name, group in settings.items() if any(item.teacher != ALONE for item in group)}
    return [_matrix(name, taught[name]) for name in sorted(taught)] or [_matrix("", [])]


def _student(
    name: str, config: Mapping[str, Any], facts: ZooEntry | Facts, backbones: Mapping[str, str]
) -> Student | None:
    if "pretext_accuracy" not in facts.metrics or not config:
        return None
    names = [facts.teacher["name"], *(one["name"] for one in facts.more_teachers)] if facts.teacher else []
    return Student(
        name=name,
        backbone=str(_value(config, "MODEL", "BACKBONE")),
        teacher=" + ".join(_architecture(one, backbones) for one in names) or ALONE,
        losses=_losses(config).replace("_distillation", "") if names else "",
        setting=_setting(config, facts.dataset),
        accuracy=facts.metrics["pretext_accuracy"],
        retrieval=facts.metrics.get("retrieval_at_1"),
    )


def _losses(config: Mapping[str, Any]) -> str:
    """Joins the names of the losses by "+", those of several teachers by " / "."""
    default = ["logit_distillation"]
    blocks = config.get("TEACHERS") or [{"LOSSES": _value(config, "TEACHER", "LOSSES", default=default)}]
    named = [block.get("LOSSES", default) for block in blocks]
    return " / ".join("+".join(map(str, names if isinstance(names, list) else [names])) for names in named)


def _setting(config: Mapping[str, Any], dataset: str) -> str:
    values = {name.replace(".", "_"): _value(config, *name.split(".")) for name in keys_with_role(Role.SETTING)}
    return _SETTING.format(dataset=dataset, **values)


def _value(config: Mapping[str, Any], section: str, key: str, *, default: Any = "?") -> Any:
    values = config.get(section)
    return values.get(key, default) if isinstance(values, dict) else default


def _architecture(teacher: str, backbones: Mapping[str, str]) -> str:
    """Finds a teacher's architecture in its entry or its name.

    If neither contains it, the name itself is returned.
    """
    name = teacher.removeprefix("kdvideo://")
    guess = re.sub(r"_w\d+$", "", name.partition(".")[0])
    return backbones.get(name) or (guess if guess in BACKBONES else name.rpartition("/")[2])


def _matrix(setting: str, group: Sequence[Student]) -> Matrix:
    cells = {}
    students = tuple(dict.fromkeys([*PAPER, *sorted(item.backbone for item in group)]))
    teachers = tuple(dict.fromkeys([*PAPER, *sorted({item.teacher for item in group} - {ALONE}), ALONE]))
    for backbone in students:
        alone = [item.accuracy for item in group if (item.backbone, item.teacher) == (backbone, ALONE)]
        for teacher in teachers:
            here = [item for item in group if (item.backbone, item.teacher) == (backbone, teacher)]
            base = statistics.mean(alone) if alone and teacher != ALONE else None
            if here:
                cells[teacher, backbone] = _cells(here, base)
    return Matrix(setting, students, teachers, cells)


def _cells(here: Sequence[Student], alone: float | None) -> tuple[Cell, ...]:
    by_losses: dict[str, list[Student]] = defaultdict(list)
    for item in here:
        by_losses[item.losses].append(item)
    cells = []
    for losses, items in sorted(by_losses.items()):
        accuracy = statistics.mean(item.accuracy for item in items)
        retrieved = [item.retrieval for item in items if item.retrieval is not None]
        cells.append(
            Cell(
                losses=losses,
                accuracy=accuracy,
                retrieval=statistics.mean(retrieved) if retrieved else None,
                gain=None if alone is None else accuracy - alone,
                names=tuple(item.name for item in items),
            )
        )
    return tuple(cells)
