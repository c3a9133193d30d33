"""A pretext and a loss registered from outside the package, as docs/extending.md shows them, train and teach."""

import re
from pathlib import Path

import pytest

from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.registry import LOSSES, PRETEXTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page's pretext and loss, run; what they register is taken out again."""
    for registry in (LOSSES, PRETEXTS):
        monkeypatch.setattr(registry, "_obj_map", dict(registry))
    blocks = re.findall(
        r"```python title=\"my_(?:pretexts|losses).py\"\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL
    )
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
    return blocks


def test_own_parts_take_under_20_lines(documented: list[str]):
    """Blank lines counted."""
    assert len(documented) == 2
    assert all(len(block.splitlines()) < 20 for block in documented)


def test_own_pretext_trains_a_teacher_and_own_loss_a_student(
    documented: list[str], tiny_overrides: list[str], tmp_path: Path
):
    """Two classes in the head, a majority share near a half, and the loss in the student's log."""
    short = [*tiny_overrides, "PRETEXT.NAME", "arrow", "SOLVER.EPOCHS", "1"]
    teacher = train(load_config(None, [*short, "ZOO.PUBLISH_AS", "own.arrow"]))
    assert teacher.model.pretext_head.num_classes == 2
    assert teacher.metrics["majority_share"] == pytest.approx(0.5, abs=0.1)  # slots take the labels in turn: 5 of 2
    losses = ["TEACHER.LOSSES", "['norm_distillation']", "TEACHER.WEIGHTS", "own.arrow", "TASK.NAME", "distill"]
    student = train(load_config(None, [*short, *losses, "MODEL.BACKBONE", "c3d", "OUTPUT_DIR", str(tmp_path / "b")]))
    assert '"norm_distillation": ' in (student.output_dir / "metrics.jsonl").read_text()


@pytest.mark.parametrize(("sampling", "words"), [("own", "its own of the spans"), ("shared", "resampled from")])
def test_a_teacher_of_another_convention(tiny_overrides: list[str], tmp_path: Path, sampling: str, words: str):
    """Longer, larger, RGB: its frames are the student's resampled, or its own; the log says which."""
    teacher = ["CLIP.LENGTH", "16", "CLIP.SIZE", "36", "CLIP.MODALITY", "rgb", "ZOO.PUBLISH_AS", "long.rgb"]
    train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1", *teacher]))
    student = [
        "TASK.NAME",
        "distill",
        "TEACHER.WEIGHTS",
        "long.rgb",
        "TEACHER.SAMPLING",
        sampling,
        "SOLVER.EPOCHS",
        "1",
    ]
    student += ["OUTPUT_DIR", str(tmp_path / "student"), "DATA.NUM_WORKERS", "1", "CLIP.FRAME_STRIDE", "2"]
    result = train(load_config(None, [*tiny_overrides, *student]))
    log = (result.output_dir / "log.txt").read_text()
    assert f"the teacher sees 16 rgb frames of 36 x 36, {words}" in log
