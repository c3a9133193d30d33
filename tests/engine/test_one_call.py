"""Training by one call from Python."""

from pathlib import Path

import pytest

import kdvideo
from kdvideo.inference.videos import list_videos

SMALL = {
    "CLIP": {"LENGTH": 8, "SIZE": 32},
    "PRETEXT": {"INTERVAL": 2},
    "SOLVER": {"EPOCHS": 1, "BATCH_SIZE": 6},
    "EVAL": {"TUPLES_PER_VIDEO": 5},
}
DATA = {"SHORT_SIDE": 36, "NUM_WORKERS": 0}


def test_teacher_then_student_from_a_plain_folder(tiny_dataset: Path, tmp_path: Path):
    """Unlabelled videos in any folders -> a published teacher -> a student of another architecture."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, path in enumerate(list_videos([tiny_dataset])):
        (folder / f"{i}{path.suffix}").symlink_to(path)
    zoo = {"DIR": str(tmp_path / "zoo"), "PUBLISH_AS": "r3d_10_w4.pcl-vcp_tiny"}
    teacher = kdvideo.pretrain(
        model="r3d_10", data=folder, out=tmp_path / "teacher", MODEL={"WIDTH": 4}, ZOO=zoo, DATA=DATA, **SMALL
    )
    assert isinstance(teacher, kdvideo.RunResult)
    assert teacher.entry.name == zoo["PUBLISH_AS"]
    assert set(teacher.metrics) >= {"pretext_accuracy", "final"}
    assert not teacher.model.training
    student = kdvideo.distill(
        teacher=zoo["PUBLISH_AS"],
        student="c3d",
        data=folder,
        out=tmp_path / "student",
        MODEL={"WIDTH": 4},
        ZOO={"DIR": zoo["DIR"]},
        DATA=DATA,
        **SMALL,
    )
    assert student.entry is None
    assert student.model.backbone.num_features == 32
    assert (tmp_path / "student" / "metrics.jsonl").is_file()


def test_teachers_are_named_once(tiny_dataset: Path, tmp_path: Path):
    """By `teacher` or in TEACHERS; a `teacher` beside TEACHERS was left out without a word if it was a list."""
    call = {"student": "c3d", "data": tiny_dataset, "out": tmp_path / "run"}
    blocks = [{"WEIGHTS": "a.b"}, {"WEIGHTS": "c.d"}]
    with pytest.raises(ValueError, match=r"^`teacher` is e\.f, but there are TEACHERS: give one of the two$"):
        kdvideo.distill(teacher=["e.f"], TEACHERS=blocks, **call)
    with pytest.raises(ValueError, match=r"^a teacher has no name: give `teacher`, or TEACHERS="):
        kdvideo.distill(TEACHERS=[{"VIEWS": 6}], **call)
    with pytest.raises(ValueError, match=r"a\.b"):  # which is looked up
        kdvideo.distill(TEACHERS=blocks, **call)


def test_mistakes_are_named_before_anything_runs(tiny_dataset: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"unknown config key 'SOLVER.EPOCH' from the call: did you mean"):
        kdvideo.pretrain(model="r3d_10", data=tiny_dataset, out=tmp_path / "run", SOLVER={"EPOCH": 1})
    with pytest.raises(ValueError, match="r3d_11"):
        kdvideo.pretrain(model="r3d_11", data=tiny_dataset, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
