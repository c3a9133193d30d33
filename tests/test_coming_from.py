"""What stands for kdvideo in docs/coming_from.md runs, and the table there counts what stands there."""

import re
import runpy
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import BESIDE_OTHERS, BLOCKS, ROOT, SMALL, our_arguments
from tiny_teachers import write_teacher

import kdvideo
from kdvideo.cli import main
from kdvideo.config import merge_config
from kdvideo.engine import one_call
from kdvideo.models.pcl import ClassificationModel

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")
TABLE = runpy.run_path(str(ROOT / "docs" / "make_coming_from_table.py"))
TEXT = (ROOT / BESIDE_OTHERS).read_text("utf-8")
ITEMS = {item.number: item for item in TABLE["read_items"](TEXT)}
LIBRARIES = {"timm", "torchvision", "PyTorchVideo", "MMAction2", "LightlyTrain"}
COMMIT = "0123456789abcdef" * 2 + "01234567"
FIRST_TO_TRAIN = 17  # before it, models are loaded and asked
FETCHED = re.compile(r"\b\w+\.(torchvision|pytorchvideo)_k400\b")  # weights that a test has no network for


@pytest.fixture
def folder(tmp_path: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch, new_process: Callable) -> Path:
    """Where the page's lines run: videos, and what stands for a repository and for fetched weights."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_dataset, "videos", ignore=shutil.ignore_patterns("ucfTrainTestlist"))
    shutil.copy(next(Path("videos").rglob("*.avi")), "new.mp4")  # readers look into a file, not at its name
    snapshot = tmp_path / "snapshots" / COMMIT
    write_teacher("videomae", snapshot)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    backbone = kdvideo.create_model("r3d_10", width=4, clip_spec=kdvideo.ClipSpec(clip_len=16, size=56))
    classes = ["archery", "bowling", "climbing", "diving"]
    kdvideo.publish(ClassificationModel(backbone, num_classes=4), "r3d_10_w4.here", licence="MIT", classes=classes)
    train = one_call.train
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    monkeypatch.setattr(one_call, "train", lambda cfg, **kw: train(_with(cfg, small), **kw))
    return tmp_path


def _with(cfg: Any, values: dict[str, str]) -> Any:
    for key, value in values.items():
        section, name = key.split(".")
        if not (cfg.MODEL.WEIGHTS and section in ("MODEL", "CLIP")):  # those of the weights
            merge_config(cfg, {section: {name: int(value)}}, origin="the test")
    return cfg


def run(first: int, stop: int) -> dict[str, Any]:
    """The names that the page's lines have made, after those that it takes for granted."""
    setup = next(block.text for block in BLOCKS if block.page == BESIDE_OTHERS)
    names: dict[str, Any] = {}
    exec(setup, names)
    for number in range(first, stop):
        if ITEMS[number].ours is None:
            continue
        kind, text = ITEMS[number].ours
        text = FETCHED.sub("r3d_10_w4.here", text)
        if kind == "python":
            exec(compile(text, f"{BESIDE_OTHERS}, {number}", "exec"), names)
        else:
            arguments = our_arguments(shlex.split(text.replace("\\\n", " ")))
            assert arguments is not None
            assert main([*arguments, *(SMALL if arguments[0] == "train" else ())]) == 0, text
        names[f"after {number}"] = dict(names)
    return names


def test_models_and_clips(folder: Path, capsys: pytest.CaptureFixture):
    """What does not train gives what its title says."""
    names = run(1, FIRST_TO_TRAIN)
    assert "r3d_10_w4.here" in capsys.readouterr().out  # item 2 prints the names
    assert names["classifier"].num_classes == 5
    assert names["after 4"]["features"].shape == (1, 128, 1, 4, 4)
    assert names["transform"](names["frames"][:8]).shape == (3, 8, 56, 56)
    assert names["after 6"]["features"].shape == (1, 32)
    assert list(names["maps"]) == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert names["teacher"].clip_spec.clip_len == 4
    assert names["batch"].shape == (1, 3, 16, 56, 56)
    assert names["category_name"] == "diving"
    assert names["clips"].shape == (10, 3, 16, 56, 56)
    assert {tuple(batch["clips"].shape) for batch in names["loader"]} == {(8, 1, 3, 16, 56, 56)}
    assert [len(answer.best) for answer in names["answers"]] == [4]


@pytest.mark.slow  # four trainings
def test_training(folder: Path):
    """What trains leaves what the next line takes."""
    names = run(FIRST_TO_TRAIN, 26)
    assert names["features"].shape == (18, 32)
    assert names["answers"][0].best[0].class_name in {path.name for path in Path("videos").iterdir()}
    assert Path("classifier.onnx").stat().st_size > 0


def test_the_table_is_what_is_counted():
    """Twenty-five, each with its address; the table is fresh; nothing of ours is packed into a long line."""
    assert list(ITEMS) == list(range(1, 26))
    assert TABLE["make_table"](list(ITEMS.values())) in TEXT
    assert {item.library for item in ITEMS.values()} == LIBRARIES
    for item in ITEMS.values():
        assert ";" not in (item.ours or ("", ""))[1]
        assert max(map(len, (item.ours or ("", ""))[1].splitlines()), default=0) <= 120
    assert sum(item.as_few for item in ITEMS.values()) >= 23


@pytest.mark.parametrize(
    ("kind", "text", "lines"),
    [
        ("python", "import torch\n\n# why\nx = f(\n    1,\n    2,\n)\nx.eval()", 2),
        ("py", "for x in y:\n    print(x)", 2),
        ("bash", "# why\nkdvideo train \\\n    KEY VALUE\n", 1),
    ],
)
def test_a_line_is_a_statement_or_a_command(kind: str, text: str, lines: int):
    """However it is broken; comments and imports are none."""
    assert TABLE["count_lines"](kind, text) == lines
