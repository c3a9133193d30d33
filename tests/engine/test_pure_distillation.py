"""Runs that learn from a teacher alone: one clip per sample, a student without heads."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from traces import STORED, Run, traced_runs, train_teacher

import kdvideo
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.stop import Preempted
from kdvideo.inference.videos import list_videos
from kdvideo.models.backbone import Backbone

NONE = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"]
LOSSES = ["TEACHER.LOSSES", "[embedding_distillation, similarity_distillation]", "TEACHER.LOSS_WEIGHTS", "[1, 1]"]


@pytest.fixture
def teacher(tiny_overrides: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a distillation from a trained teacher with heads and other clips than its student's."""
    return [*train_teacher(tiny_overrides, "CLIP.LENGTH", "4"), *NONE, *LOSSES]


@pytest.fixture
def distill(teacher: list[str], tmp_path: Path) -> Run:
    """Runs a distillation: its trace of losses, and its result."""
    return traced_runs(teacher, tmp_path)


def test_a_backbone_is_trained_and_published(distill, tmp_path: Path):
    """The loss is the teacher's alone, retrieval is measured at each epoch, and the entry is a backbone."""
    losses, result = distill("run", "ZOO.PUBLISH_AS", "s.a", "EVAL.CLIPS_PER_VIDEO", "2")
    assert set(losses[0]) == {"loss", "kd_loss", "embedding_distillation", "similarity_distillation", "grad_norm"}
    for step in losses:
        parts = step["embedding_distillation"] + step["similarity_distillation"]
        assert step["loss"] == step["kd_loss"] == pytest.approx(parts, rel=1e-6)
    for line in RunFolder(tmp_path / "run").epochs():
        assert {"retrieval_at_1", "retrieval_at_5"} <= line.keys()
        assert "pretext_accuracy" not in line
    assert "retrieval_10clip_at_1" in result.metrics or "retrieval_3clip_at_1" in result.metrics
    assert result.entry is not None
    assert result.entry.model.head == "none"
    loaded = kdvideo.create_model("s.a", pretrained=True, zoo=tmp_path / "zoo")
    assert isinstance(loaded, Backbone)
    clip = torch.randn(1, 3, 8, 32, 32)
    torch.testing.assert_close(loaded.eval()(clip), result.model(clip))


@STORED
def test_stored_answers_are_the_computed(distill, options: list[str]):
    """A run that reads its teacher's answers has the losses of the run that computed them, bit by bit."""
    computed, _ = distill("computed", *options)
    read, _ = distill("read", *options)
    assert computed == read


def test_it_goes_on_within_an_epoch(distill):
    """Stopped after the third of four steps: the same losses to the bit."""
    whole, _ = distill("whole")
    asked: list[int] = []

    @contextmanager
    def stopping():
        yield lambda: asked.append(1) or len(asked) == 3

    with pytest.raises(Preempted):
        distill("parts", stopping=stopping)
    rest, _ = distill("parts", resume=True)
    assert rest == whole[3:]


def test_one_call_from_a_teacher_without_heads(distill, tiny_dataset: Path, tmp_path: Path):
    """`kdvideo.distill` leaves pretext and contrast out by itself. Videos without classes are not measured."""
    distill("teacher_backbone", "ZOO.PUBLISH_AS", "t.backbone", "SOLVER.EPOCHS", "1")
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, path in enumerate(list_videos([tiny_dataset])):
        (folder / f"{i}{path.suffix}").symlink_to(path)
    result = kdvideo.distill(
        teacher="t.backbone",
        student="c3d",
        data=folder,
        out=tmp_path / "student",
        MODEL={"WIDTH": 4},
        CLIP={"LENGTH": 8, "SIZE": 32},
        SOLVER={"EPOCHS": 1, "BATCH_SIZE": 6},
        DATA={"SHORT_SIDE": 36, "NUM_WORKERS": 0},
        ZOO={"DIR": str(tmp_path / "zoo"), "PUBLISH_AS": "s.call"},
    )
    assert isinstance(result.model, Backbone)
    assert result.entry is not None
    assert result.entry.metrics == {}
    (line,) = RunFolder(tmp_path / "student").epochs()
    assert line["kd_loss"] == line["embedding_distillation"]


def test_a_rate_that_nothing_would_lower(distill):
    """Without a pretext and classes nothing is measured, so the plateau would never come to an end."""
    options = ["DATA.NAME", "unlabelled", "SOLVER.SCHEDULE", "plateau", "DATA.VALIDATION_SHARE", "0.3"]
    with pytest.raises(ValueError, match=r"SOLVER.SCHEDULE plateau lowers .*, and nothing is: .*; use another"):
        distill("plateau", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["PRETEXT.TUPLE_LEN", "3"], r"PRETEXT\.TUPLE_LEN is 3; the pretext none has one clip per sample: set it to 1"),
        (["CONTRAST.NAME", "batch_nce"], r"PRETEXT\.NAME is none and CONTRAST\.NAME is batch_nce: both or neither"),
        (["PRETEXT.NAME", "rotnet"], r"PRETEXT\.TUPLE_LEN is 1; it must be at least 2 with PRETEXT\.NAME rotnet"),
        (["TASK.NAME", "pcl"], r"PRETEXT\.NAME is none, but TASK\.NAME pcl has no teacher to learn from"),
        (
            ["TEACHER.LOSSES", "[logit_distillation]", "TEACHER.LOSS_WEIGHTS", "[1]"],
            r"TEACHER\.LOSSES has logit_distillation, which compares answers .* choose of embedding_dist.*, qu",
        ),
    ],
    ids=["tuple", "contrast", "pretext", "task", "loss"],
)
def test_mistakes_are_one_line(tiny_overrides: list[str], options: list[str], message: str):
    """Before anything is loaded."""
    job = [*tiny_overrides, "TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a", *NONE, *LOSSES]
    with pytest.raises(ValueError, match=message) as error:
        train(load_config(None, [*job, *options]))
    assert "\n" not in str(error.value)
