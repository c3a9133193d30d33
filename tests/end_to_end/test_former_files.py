"""What kdvideo 1ffee42 wrote stays right: its HMDB51 had other numbers, its files name neither classes nor videos."""

import shutil
from pathlib import Path

import pytest
import simplejson
import torch
from former_files import ENTRY, FORMER, ORDER, overrides, tiny_conv, write_hmdb51

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.checkpoint import read_state, save_state
from kdvideo.engine.launch import train
from kdvideo.inference.predict import Predictor
from kdvideo.registry import BACKBONES
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import read_entry

FIVE_OF_SIX = pytest.approx(5 / 6)
CHECKPOINT = FORMER / "run" / "checkpoint.pt"


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With lists for `video_lists`, whose classes are numbered alphabetically."""
    root = write_hmdb51(tmp_path_factory.mktemp("former"))
    for subset, part in (("train", "_c01"), ("test", "_c02")):
        videos = sorted(root.glob(f"*/*{part}.avi"))
        lines = [f"{video.relative_to(root)},{video.parent.name}" for video in videos]
        (root / f"{subset}.csv").write_text("\n".join(["path,label", *lines]))
    return root


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKBONES, "_obj_map", {**dict(BACKBONES), "tiny_conv": tiny_conv})


@pytest.fixture
def entry(kdvideo_home: Path) -> ZooEntry:
    shutil.copytree(FORMER / "zoo", kdvideo_home / "zoo")
    return read_entry(kdvideo_home / "zoo" / "entries" / f"{ENTRY}.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The run's folder."""
    return Path(shutil.copytree(FORMER / "run", tmp_path / "run"))


def evaluate(tmp_path: Path, *arguments: str) -> dict[str, float]:
    out = tmp_path / "eval"
    assert main(["eval", *arguments, "DATA.NUM_WORKERS", "0", "OUTPUT_DIR", str(out)]) == 0
    return simplejson.loads((out / "evaluation.json").read_text())["metrics"]


@pytest.mark.parametrize("dataset", ["hmdb51", "video_lists"])
def test_an_entry_answers_by_its_own_names(entry: ZooEntry, hmdb51: Path, tmp_path: Path, dataset: str):
    """Its accuracy is what it was, whatever numbers the dataset has now."""
    assert entry.classes == ORDER
    assert entry.metrics["video_accuracy_1clip"] == FIVE_OF_SIX
    measured = evaluate(tmp_path, ENTRY, "DATA.ROOT", str(hmdb51), "DATA.NAME", dataset)
    assert measured["video_accuracy_1clip"] == FIVE_OF_SIX
    answers = Predictor(ENTRY)(sorted(hmdb51.glob("*/*_c02.avi")), top=1)
    assert sum(one.best[0].class_name == one.video.parent.name for one in answers) == 5


def test_a_checkpoint_without_names_has_the_former_ones(run: Path, hmdb51: Path, tmp_path: Path):
    """Measured on HMDB51, whose former numbers are known."""
    assert (
        evaluate(tmp_path, str(run / "checkpoint.pt"), "DATA.ROOT", str(hmdb51))["video_accuracy_1clip"] == FIVE_OF_SIX
    )


def test_a_run_of_the_former_numbers_is_not_resumed(run: Path, hmdb51: Path, capsys: pytest.CaptureFixture):
    """One line that says which classes have another number."""
    (message,) = errors_of(capsys, "--resume", *overrides(hmdb51, run))
    assert "2 of 3 differ (climb, climb_stairs, ..); they are alphabetical now, as everybody's: start a new" in message


def errors_of(capsys: pytest.CaptureFixture, *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["train", *arguments]) != 0
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdvideo: error: ")]


def test_another_checkpoint_goes_on_with_a_warning(run: Path, hmdb51: Path, caplog: pytest.LogCaptureFixture):
    """Of a dataset whose numbers are what they were: continued, and the log says what could not be compared."""
    state = read_state(run / "checkpoint.pt")
    assert not {"videos", "classes"} & state.keys()
    state["config"] = state["config"].replace("NAME: hmdb51", "NAME: video_lists")
    save_state(run / "checkpoint.pt", state)
    options = [*overrides(hmdb51, run), "DATA.NAME", "video_lists", "SOLVER.EPOCHS", "61"]
    assert train(load_config(None, options), resume=True).metrics["epoch"] == 61
    assert "does not name its training videos: that they are the same" in caplog.text
    assert read_state(run / "checkpoint.pt")["classes"] == sorted(ORDER)


def test_it_still_starts_finetuning(entry: ZooEntry, hmdb51: Path, tmp_path: Path):
    """The classifier's rows go by name: with a rate of nearly 0 nothing changes, and it is right from the start."""
    options = [*overrides(hmdb51, tmp_path / "new"), "MODEL.WEIGHTS", ENTRY, "SOLVER.EPOCHS", "1"]
    result = train(load_config(None, [*options, "SOLVER.BASE_LR", "1e-9"]))
    assert result.metrics["video_accuracy_1clip"] == FIVE_OF_SIX
    assert read_state(tmp_path / "new" / "checkpoint.pt")["classes"] == sorted(ORDER)
    kept = torch.load(CHECKPOINT, weights_only=True)["student"]["backbone.conv.weight"]
    torch.testing.assert_close(result.model.state_dict()["backbone.conv.weight"], kept)
