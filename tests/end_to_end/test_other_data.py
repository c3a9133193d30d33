"""Runs that would learn from something else than they were meant to: other input than the weights', other videos."""

import os
import shutil
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.data.datasets.records import held_out
from kdvideo.engine.build import build_model_spec
from kdvideo.engine.checkpoint import read_state, save_state
from kdvideo.engine.launch import train
from kdvideo.zoo.entry import Facts
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.publish import publish

FACTS = Facts({}, protocol="", teacher=None, dataset="", config="", source="", licence="")
ONE_EPOCH = ["SOLVER.EPOCHS", "1"]


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that `kdvideo train` ends with."""
    capsys.readouterr()
    assert main(["train", *arguments]) != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("kdvideo: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("kdvideo: error: ")


@pytest.fixture
def rgb(tiny_overrides: list[str], tmp_path: Path) -> str:
    """An entry whose weights take RGB clips."""
    cfg = load_config(None, [*tiny_overrides, "CLIP.MODALITY", "rgb"])
    spec = build_model_spec(cfg)
    publish(spec.build(), "rgb.x", zoo=Zoo(tmp_path / "zoo"), spec=spec, facts=FACTS)
    return "rgb.x"


def test_initial_weights_of_another_input(rgb: str, tiny_overrides: list[str], tmp_path: Path, capsys):
    """Refused, with the keys that make it right; or on purpose."""
    message = error_of(capsys, *tiny_overrides, *ONE_EPOCH, "MODEL.WEIGHTS", rgb)
    assert message.startswith(
        "MODEL.WEIGHTS rgb.x take rgb clips, mean [0.45, 0.45, 0.45], std [0.225, 0.225, 0.225], but"
    )
    assert "CLIP makes residual clips" in message
    keys = ["CLIP.MODALITY", "rgb", "CLIP.MEAN", "[0.45, 0.45, 0.45]", "CLIP.STD", "[0.225, 0.225, 0.225]"]
    assert f"set {keys[0]} {keys[1]} {keys[2]} '{keys[3]}' {keys[4]} '{keys[5]}'; to train" in message
    result = train(load_config(None, [*tiny_overrides, *ONE_EPOCH, "MODEL.WEIGHTS", rgb, *keys]))
    assert result.model.backbone.clip_spec.modality == "rgb"
    purpose = ["MODEL.CLIP_SPEC", "kdvideo-residual", "OUTPUT_DIR", str(tmp_path / "purpose")]
    result = train(load_config(None, [*tiny_overrides, *ONE_EPOCH, "MODEL.WEIGHTS", rgb, *purpose]))
    assert result.model.backbone.clip_spec.modality == "residual"


def test_a_bare_file_as_initial_weights(tiny_overrides: list[str], tmp_path: Path, capsys, caplog):
    """Another project's is asked for its input; the model's own state dict is not, but the log says what is unknown."""
    from torchvision.models.video import mc3_18

    torch.save(mc3_18().state_dict(), tmp_path / "mc3_18.pth")
    options = [*tiny_overrides, *ONE_EPOCH, "MODEL.BACKBONE", "mc3_18", "MODEL.WIDTH", "64"]
    options += ["MODEL.WEIGHTS", str(tmp_path / "mc3_18.pth")]
    assert "give one of torchvision as MODEL.CLIP_SPEC; `kdvideo zoo" in error_of(capsys, *options)
    message = error_of(capsys, *options, "MODEL.CLIP_SPEC", "torchvision")
    assert "take rgb clips, mean [0.43216, 0.394666, 0.37645]" in message
    assert "input convention 'nothing'" in error_of(capsys, *options, "MODEL.CLIP_SPEC", "nothing")
    assert "MODEL.WEIGHTS is not set, whose input" in error_of(capsys, *tiny_overrides, "MODEL.CLIP_SPEC", "pcl-rgb")
    torch.save(kdvideo.create_model("r3d_10", width=4).state_dict(), tmp_path / "own.pt")
    train(load_config(None, [*tiny_overrides, *ONE_EPOCH, "MODEL.WEIGHTS", str(tmp_path / "own.pt")]))
    assert "do not say what they were trained on: the model keeps residual clips" in caplog.text


@pytest.fixture
def begun(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """A copy of the videos that may be changed, and a run of them with a memory bank after its first epoch."""
    root = Path(shutil.copytree(tiny_dataset, tmp_path / "data"))
    options = [*tiny_overrides, "DATA.ROOT", str(root), "DATA.NAME", "unlabelled"]
    train(load_config(None, [*options, *ONE_EPOCH]))
    return root, [*options, "SOLVER.EPOCHS", "2"]


def test_renamed_videos_are_not_resumed(begun: tuple[Path, list[str]], capsys):
    """As many as before, but a bank's rows would be those of other videos; a moved folder is no change."""
    root, options = begun
    names = [str(path.relative_to(root)) for path in sorted(root.glob("*/*.avi"))]
    first = min(set(names) - held_out(names))
    os.rename(root / first, root / "z.avi")
    message = error_of(capsys, "--resume", *options)
    changed = (
        f"--resume: the training videos have changed: new 1 (the first z.avi), missing 1 (the first {first}); a bank"
    )
    assert message.startswith(changed)
    os.rename(root / "z.avi", root / first)
    moved = root.rename(root.with_name("moved"))
    assert train(load_config(None, [*options, "DATA.ROOT", str(moved)]), resume=True).metrics["epoch"] == 2


def test_a_checkpoint_that_names_no_videos(begun: tuple[Path, list[str]], caplog):
    """Goes on, with one line."""
    _, options = begun
    path = Path(options[3]) / "checkpoint.pt"
    state = read_state(path)
    del state["videos"], state["classes"]
    save_state(path, state)
    assert train(load_config(None, options), resume=True).metrics["epoch"] == 2
    assert caplog.text.count("does not name its training videos") == 1
    assert "videos" in read_state(path)
