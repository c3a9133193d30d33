"""A classifier's answers go by the names of classes: subsets, other orders, other classes, files without names."""

import logging
import re
import shutil
from pathlib import Path

import pytest
import simplejson
import torch
from pyarrow import csv

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.synthetic import MOTIONS
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.launch import train
from kdvideo.inference.predict import Predictor

NAMES = sorted(MOTIONS)
LABELS = {name: f"{number} of, the balls" for name, number in zip(NAMES, "415203", strict=True)}  # another order


@pytest.fixture(scope="module")
def lists(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists whose labels are not the folders' names and sort in another way; all videos train and test."""
    folder = tmp_path_factory.mktemp("lists")
    write_lists(folder, tiny_dataset, NAMES)
    return folder


def write_lists(folder: Path, root: Path, names: list[str], *, labels: dict[str, str] = LABELS) -> None:
    videos = [str(path.relative_to(root)) for name in names for path in sorted((root / name).glob("*.avi"))]
    lines = [f'{video},"{labels[video.split("/")[0]]}"' for video in videos]
    for subset in ("train", "test"):
        (folder / f"{subset}.csv").write_text("\n".join(["path,label", *lines]) + "\n")


@pytest.fixture(scope="module")
def run(tiny_dataset: Path, lists: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose classifier has learned something, and a zoo with its entry `own.balls`."""
    folder = tmp_path_factory.mktemp("run")
    options = ["DATA.NAME", "video_lists", "DATA.ROOT", str(tiny_dataset), "DATA.LIST_DIR", str(lists)]
    options += ["TASK.NAME", "supervised", "MODEL.BACKBONE", "r3d_10", "MODEL.WIDTH", "4", "CLIP.LENGTH", "8"]
    options += ["CLIP.SIZE", "32", "DATA.SHORT_SIDE", "37", "DATA.NUM_WORKERS", "0", "SOLVER.BATCH_SIZE", "9"]
    options += ["SOLVER.OPTIMIZER", "adamw", "SOLVER.BASE_LR", "0.01", "SOLVER.EPOCHS", "30", "EVAL.PERIOD", "30"]
    options += [
        "AUGMENT.COLOR_PROB",
        "0.0",
        "AUGMENT.GRAYSCALE_PROB",
        "0.0",
        "AUGMENT.BLUR_PROB",
        "0.0",
        "CLIP.MODALITY",
        "rgb",
    ]
    options += ["EVAL.FINAL_CLIPS_PER_VIDEO", "2", "DATA.VALIDATION_SHARE", "0.3", "OUTPUT_DIR", str(folder / "run")]
    options += ["ZOO.DIR", str(folder / "zoo"), "ZOO.PUBLISH_AS", "own.balls"]
    train(load_config(None, options))
    return folder


def evaluate(tmp_path: Path, source: str | Path, *arguments: str) -> dict:
    out = tmp_path / "eval"
    shutil.rmtree(out, ignore_errors=True)
    assert main(["eval", str(source), *arguments, "DATA.NUM_WORKERS", "0", "OUTPUT_DIR", str(out)]) == 0
    return simplejson.loads((out / "evaluation.json").read_text())["metrics"]


def files_of(run: Path) -> list[Path]:
    return [*(run / "zoo" / "weights").glob("*.safetensors"), run / "run" / "best.pt", run / "run" / "checkpoint.pt"]


def test_every_file_knows_its_classes(run: Path, tiny_dataset: Path):
    """In the order of their numbers, which is that of the labels."""
    video = next((tiny_dataset / NAMES[0]).glob("*.avi"))
    for source in files_of(run):
        assert Predictor(str(source)).class_names == sorted(LABELS.values())
        (answer,) = Predictor(str(source))([video], top=6)
        assert sorted(one.class_name for one in answer.best) == sorted(LABELS.values())
    assert read_state(run / "run" / "best.pt")["classes"] == sorted(LABELS.values())


@pytest.mark.parametrize("which", [0, 1])
def test_answers_are_matched_by_name(run: Path, tiny_dataset: Path, tmp_path: Path, which: int):
    """All classes, then a subset that is numbered in another way: as by hand from the predictions."""
    source, root = files_of(run)[which], ["DATA.NAME", "video_lists", "DATA.ROOT", str(tiny_dataset)]
    predictor = Predictor(str(source))
    for names in (NAMES, NAMES[2:5], NAMES[:2]):
        folder = tmp_path / f"{len(names)}"
        folder.mkdir()
        write_lists(folder, tiny_dataset, names)
        measured = evaluate(tmp_path, source, *root, "DATA.LIST_DIR", str(folder), "EVAL.FINAL_CLIPS_PER_VIDEO", "10")
        answers = list(
            predictor([path for name in names for path in sorted((tiny_dataset / name).glob("*.avi"))], top=1)
        )
        right = sum(one.best[0].class_name == LABELS[one.video.parent.name] for one in answers)
        assert measured["video_accuracy_10clip"] == pytest.approx(right / len(answers))
        rows = csv.read_csv(tmp_path / "eval" / "confusion_classify.csv").to_pylist()
        known = sorted(LABELS[name] for name in names)
        others = [name for name in sorted(LABELS.values()) if name not in known]
        assert [row["true class"] for row in rows] == known + others
        for row in rows:
            for name in known + others:
                meant = [o for o in answers if LABELS[o.video.parent.name] == row["true class"]]
                assert row[name] == sum(one.best[0].class_name == name for one in meant)


def test_other_classes_are_refused(run: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture, tmp_path: Path):
    """One line that names a few of each; what else can be measured is."""
    options = ["DATA.NAME", "ucf101", "DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", str(tmp_path / "o")]
    assert main(["eval", str(files_of(run)[0]), "--protocols", "classify", *options]) != 0
    error = [line for line in capsys.readouterr().err.splitlines() if "kdvideo: error:" in line]
    assert len(error) == 1
    assert re.search(
        r"classify cannot be measured: the model does not know 6 of the 6 classes of the dataset \(BallBounce, "
        r"BallCircle, BallRise, \.\.\); its own 6 are 0 of, the balls, 1 of, the balls, 2 of, the balls, \.\.",
        error[0],
    )
    assert "knn_10clip" in evaluate(tmp_path, files_of(run)[0], *options)


def test_numbers_are_compared_with_a_warning(
    run: Path, tiny_dataset: Path, lists: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
):
    """Where the file names no class."""
    state = read_state(run / "run" / "checkpoint.pt")
    del state["classes"]
    torch.save(state, tmp_path / "unnamed.pt")
    data = ["DATA.NAME", "video_lists", "DATA.ROOT", str(tiny_dataset), "DATA.LIST_DIR", str(lists)]
    data += ["DATA.SHORT_SIDE", "37", "EVAL.FINAL_CLIPS_PER_VIDEO", "2"]
    seen: list[str] = []
    monkeypatch.setattr(logging.getLogger("kdvideo"), "warning", lambda text, *rest: seen.append(text % rest))
    measured = evaluate(tmp_path, tmp_path / "unnamed.pt", *data)
    assert measured == evaluate(tmp_path, run / "run" / "checkpoint.pt", *data)
    assert [text for text in seen if "class" in text] == [
        "the model does not name its classes: the model's and the dataset's are compared by their numbers, which is "
        "wrong where they are numbered in another way"
    ]
