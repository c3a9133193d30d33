"""The demo's own claims, with a seed that nobody tuned it for."""

from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.study.demo import STUDENT_NAME, TEACHER_NAME
from kdvideo.zoo.sources import find_entry

pytestmark = pytest.mark.slow


def test_demo(tmp_path: Path):
    """Random weights are at chance, all trained ones well above; the student's entry names the teacher's file."""
    assert main(["demo", "--seed", "1", "--output", str(tmp_path)]) == 0  # what `make demo` runs
    rows = [line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[2:]]
    accuracy = {cells[0].split(" (")[0]: float(cells[1]) for cells in rows}
    majority = float(rows[0][2])
    assert abs(accuracy.pop("random weights") - majority) <= 0.05
    assert set(accuracy) == {"teacher", "student alone", "student distilled"}
    assert min(accuracy.values()) >= 1.5 * majority
    teacher, _ = find_entry(TEACHER_NAME, zoo=tmp_path / "zoo")
    student, _ = find_entry(STUDENT_NAME, zoo=tmp_path / "zoo")
    assert student.teacher == {"name": TEACHER_NAME, "sha256": teacher.sha256}
    assert (tmp_path / "curves.png").stat().st_size > 10_000
