"""The demo's own claims, of what `make demo` has written: .ci/run runs it before."""

from pathlib import Path

import pytest

from kdvideo.study.demo import STUDENT_NAME, TEACHER_NAME
from kdvideo.zoo.sources import find_entry

OUTPUT = Path(__file__).resolve().parents[2] / "output" / "demo"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (OUTPUT / "curves.png").exists(), reason=f"`make demo` has not written {OUTPUT}"),
]


def test_demo():
    """Random weights are at chance, all trained ones well above; the student's entry names the teacher's file."""
    rows = [line.strip("| ").split(" | ") for line in (OUTPUT / "table.md").read_text().splitlines()[2:]]
    accuracy = {cells[0].split(" (")[0]: float(cells[1]) for cells in rows}
    majority = float(rows[0][2])
    assert abs(accuracy.pop("random weights") - majority) <= 0.05
    assert set(accuracy) == {"teacher", "student alone", "student distilled"}
    assert min(accuracy.values()) >= 1.5 * majority
    teacher, _ = find_entry(TEACHER_NAME, zoo=OUTPUT / "zoo")
    student, _ = find_entry(STUDENT_NAME, zoo=OUTPUT / "zoo")
    assert student.teacher == {"name": TEACHER_NAME, "sha256": teacher.sha256}
    assert (OUTPUT / "curves.png").stat().st_size > 10_000
