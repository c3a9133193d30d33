"""Folders of the transformers library through the commands: as teacher, and measured, embedded and asked themselves."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_teachers import CLASSES, write_teacher

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.zoo import Zoo
from kdvideo.zoo.load import load_model

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VideoMAE with a classifier."""
    folder = tmp_path_factory.mktemp("teachers") / "tiny-videomae"
    write_teacher("videomae", folder, licence="cc-by-nc-4.0")
    return folder


@pytest.mark.parametrize("name", ["videomae", "timesformer", "xclip", "vjepa2"])
def test_a_student_of_a_folder(name: str, tiny_overrides: list[str], tmp_path: Path):
    """The entry says who taught it, and the hash of the weights."""
    teacher = tmp_path / "teacher"
    write_teacher(name, teacher, licence="cc-by-nc-4.0")
    options = ["TEACHER.WEIGHTS", str(teacher), "TEACHER.LOSSES", "['embedding_distillation']", "SOLVER.EPOCHS", "1"]
    distilled = ["TASK.NAME", "distill", *options, "ZOO.PUBLISH_AS", "student.of-folder", "ZOO.LICENCE", "mit"]
    assert main(["train", *tiny_overrides, *distilled]) == 0
    entry = Zoo(tmp_path / "zoo").entry("student.of-folder")
    assert entry is not None
    assert entry.teacher is not None
    assert entry.teacher["name"] == str(teacher)
    assert entry.teacher["sha256"] == load_model(str(teacher))[1].sha256


def test_a_student_of_a_repository(
    teacher: Path, tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The entry names the commit that was got, so whoever reads it gets the same weights."""
    commit = "0123456789abcdef" * 2 + "01234567"
    snapshot = shutil.copytree(teacher, tmp_path / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    options = ["TEACHER.WEIGHTS", "hf:someone/tiny", "TEACHER.LOSSES", "['embedding_distillation']"]
    assert main(["train", *tiny_overrides, "TASK.NAME", "distill", *options, "ZOO.PUBLISH_AS", "student.of-repo"]) == 0
    entry = Zoo(tmp_path / "zoo").entry("student.of-repo")
    assert entry is not None
    assert entry.teacher is not None
    assert entry.teacher["name"] == f"hf:someone/tiny@{commit}"


def test_a_repository_that_has_moved_is_noticed(
    teacher: Path, tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A run goes on with the weights with which it began, under the name that means them, or not at all."""
    commits = ["a" * 40, "b" * 40]
    there = {commit: shutil.copytree(teacher, tmp_path / "snapshots" / commit) for commit in commits}
    write_teacher("videomae", there[commits[1]], seed=1)
    branch = {None: commits[0]}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda _, revision, **__: str(there[branch.get(revision, revision)])
    )
    options = [*tiny_overrides, "TASK.NAME", "distill", "TEACHER.LOSSES", "['embedding_distillation']"]
    options += ["SOLVER.SCHEDULE", "constant", "EVAL.PERIOD", "9"]

    def run(name: str, epochs: int, *, resume: bool = False) -> int:
        cfg = load_config(None, [*options, "TEACHER.WEIGHTS", name, "SOLVER.EPOCHS", str(epochs)])
        return train(cfg, resume=resume).metrics["epoch"]

    assert run("hf:someone/tiny", 1) == 1
    branch[None] = commits[1]
    with pytest.raises(
        ValueError, match=rf"is hf:someone/tiny@{commits[1]} now, .* with hf:someone/tiny@{commits[0]}:"
    ):
        run("hf:someone/tiny", 2, resume=True)
    assert run(f"hf:someone/tiny@{commits[0]}", 2, resume=True) == 2


def test_it_is_measured(teacher: Path, tiny_overrides: list[str], tmp_path: Path):
    """`kdvideo eval` measures its features with its own clips."""
    assert main(["eval", str(teacher), *tiny_overrides[:2], "OUTPUT_DIR", str(tmp_path / "eval")]) == 0
    assert "retrieval_10clip_at_1" in (tmp_path / "eval" / "evaluation.json").read_text()


def test_it_answers(teacher: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """`predict` answers with the names of its config; `embed` makes a gallery for it and for nobody else."""
    folder = tmp_path / "videos" / "some"
    folder.mkdir(parents=True)
    video = next(tiny_dataset.rglob("*.avi"))
    shutil.copy(video, folder)
    assert main(["predict", str(video), "--model", str(teacher), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert sorted(one["class_name"] for one in answer["best"]) == CLASSES
    gallery = tmp_path / "gallery.safetensors"
    assert main(["embed", str(folder), "--model", str(teacher), "--out", str(gallery), "--clips", "2"]) == 0
    assert main(["predict", str(video), "--model", str(teacher), "--gallery", str(gallery)]) == 0
    other = tmp_path / "other"
    write_teacher("videomae", other, seed=1)
    assert main(["predict", str(video), "--model", str(other), "--gallery", str(gallery)]) == 2
