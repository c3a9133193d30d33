"""The scripts in examples/ run as they are shown, and what they print shows that they learn."""

import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 of the demo's generated videos: 24 to train on, 12 to test on."""
    config = SyntheticConfig(train_groups=4, test_groups=2, clips_per_group=1)
    return write_synthetic_ucf101(tmp_path_factory.mktemp("examples"), config)


@pytest.fixture
def run(new_process: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, videos: Path, capsys):
    """Runs an example in an empty folder and returns every value that it prints, by name."""
    monkeypatch.chdir(tmp_path)

    def run_example(name: str, *options: str, videos: Path = videos) -> dict[str, list[float]]:
        monkeypatch.setattr(sys, "argv", [name, str(videos), *options])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        values: dict[str, list[float]] = {}
        for key, value in re.findall(r"(\S+) (\d+\.\d+)", capsys.readouterr().out):
            values.setdefault(key, []).append(float(value))
        return values

    yield run_example
    new_process()


def test_embed(run: Callable[..., dict[str, list[float]]]):
    """The shipped weights find the class of generated videos, which they have never seen, far above chance."""
    printed = run("embed.py", "--clips", "2")
    assert printed["chance"] == [pytest.approx(1 / 6, abs=1e-3)]
    assert printed["retrieval@1"][0] > 2 * printed["chance"][0]


def test_pretrain(run: Callable[..., dict[str, list[float]]]):
    """The loss falls, and the saved weights fill a model again."""
    printed = run("pretrain.py", "--epochs", "3")
    assert len(printed["loss"]) == 3
    assert printed["loss"][-1] < 0.7 * printed["loss"][0]
    spec = kdvideo.ClipSpec(clip_len=8, size=48)
    model = kdvideo.create_pcl_model("r3d_10", width=16, clip_spec=spec)
    assert not kdvideo.load_pretrained(model, "pretrained.pt").new


def test_distill(run: Callable[..., dict[str, list[float]]]):
    """The student comes nearer to its teacher's answers."""
    printed = run("distill.py", "--epochs", "3")
    assert min(printed["kd_loss"][1:]) < 0.9 * printed["kd_loss"][0]
    assert printed["loss"][-1] < printed["loss"][0]


def test_finetune(run: Callable[..., dict[str, list[float]]]):
    """The loss falls, and test videos are told apart better than by chance."""
    printed = run("finetune.py", "--epochs", "8")
    assert printed["loss"][-1] < 0.8 * printed["loss"][0]
    assert printed["accuracy"][0] > 2 * printed["chance"][0]


def test_own_backbone(run: Callable[..., dict[str, list[float]]]):
    """Its features turn to where the teacher's point."""
    printed = run("own_backbone.py", "--epochs", "6")
    assert printed["loss"][-1] < 0.4 * printed["loss"][0]
    assert torch.tensor(printed["loss"]).diff().lt(0).float().mean() > 0.5


@pytest.mark.slow  # 16 s of one core
def test_first_hour(run: Callable[..., dict[str, list[float]]], videos: Path, tmp_path: Path):
    """Five classes of six videos each: all six jobs answer, by 25 lines at most."""
    five = shutil.copytree(videos, tmp_path / "five", ignore=shutil.ignore_patterns("BallShake", "ucfTrainTestlist"))
    printed = run("first_hour.py", videos=five)
    assert printed["similarity"][0] == 1.0  # the video itself is in the gallery
    assert all(0.2 <= value <= 1 for value in printed["probability"])  # the likeliest of five
    assert len(printed["probability"]) >= 64 // 8  # the shortest of the videos has 64 frames
    names, *rows = (tmp_path / "output/measured/confusion_classify.csv").read_text("utf-8").splitlines()
    assert names.split(",")[1:] == [row.split(",")[0] for row in rows] == sorted(path.name for path in five.iterdir())
    assert (tmp_path / "output" / "mine.onnx").stat().st_size > 0
    assert len((ROOT / "examples" / "first_hour.py").read_text("utf-8").splitlines()) <= 25


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_plain(path: Path):
    """Each is at most 70 lines, names its command on top, and uses neither config nor engine."""
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 70
    assert f"    python examples/{path.name} output/demo/data\n" in text
    assert "cfg" not in text
    assert not re.search(r"kdvideo\.(engine|config|tasks)|import \*|\._", text)
    loops = {"distill", "embed", "finetune", "own_backbone", "pretrain"}
    assert {example.stem for example in EXAMPLES} == {"first_hour", *loops}
