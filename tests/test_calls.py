"""The functions for the main jobs: each does what its command does, from paths as text, and alone in a notebook."""

import doctest
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import simplejson
import torch
from fvcore.common.config import CfgNode

import kdvideo
from kdvideo.cli import main
from kdvideo.engine import one_call
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.inference.gallery import Gallery
from kdvideo.inference.videos import list_videos

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
RUNS = ("pretrain", "distill", "finetune")
JOBS = ("embed", "evaluate", "export", "predict", "publish")


@pytest.fixture
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains one epoch of tiny networks, whatever a call asks for."""
    train = one_call.train

    def train_shortly(cfg: CfgNode, **kwargs):
        cfg.SOLVER.EPOCHS, cfg.SOLVER.BATCH_SIZE, cfg.DATA.NUM_WORKERS = 1, 6, 0
        cfg.CLIP.LENGTH, cfg.CLIP.SIZE, cfg.DATA.SHORT_SIDE, cfg.PRETEXT.INTERVAL = 8, 32, 36, 2
        cfg.EVAL.TUPLES_PER_VIDEO = cfg.EVAL.FINAL_CLIPS_PER_VIDEO = 1
        if not cfg.MODEL.WEIGHTS:
            cfg.MODEL.WIDTH = 4
        return train(cfg, **kwargs)

    monkeypatch.setattr(one_call, "train", train_shortly)


@pytest.fixture
def beside_clips(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the examples take for granted: `clips`, a folder a class, `videos`, `video.mp4`."""
    monkeypatch.chdir(tmp_path)
    for folder in tiny_dataset.iterdir():
        if folder.is_dir() and any(folder.glob("*.avi")):
            shutil.copytree(folder, tmp_path / "clips" / folder.name)
    Path("videos").symlink_to("clips")
    for name in ("video.mp4", "new.mp4"):
        shutil.copy(list_videos(tiny_dataset)[0], name)
    return tmp_path


@pytest.mark.parametrize("name", JOBS)
def test_the_example_gives_what_it_says(name: str, beside_clips: Path):
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(kdvideo, name), name)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", RUNS)
def test_the_example_of_a_run_trains(name: str, beside_clips: Path, shortly: None):
    text = inspect.getdoc(getattr(kdvideo, name)).partition("::\n")[2]
    namespace = {"kdvideo": kdvideo}
    exec(inspect.cleandoc(text), namespace)
    assert "final" in namespace["result"].metrics


def test_embed_gives_what_the_command_writes(beside_clips: Path, tiny_dataset: Path):
    """The same features, to the bit; a file that cannot be read is left out with a warning."""
    names, features = kdvideo.embed("clips", num_clips=2)
    assert main(["embed", "clips", "--clips", "2", "--out", "table.safetensors"]) == 0
    gallery = Gallery.read(Path("table.safetensors"))
    assert names == [f"clips/{name}" for name in gallery.names]
    normed = torch.nn.functional.normalize(torch.from_numpy(features), dim=1)
    assert torch.equal(normed, gallery.features)
    kdvideo.embed(Path("clips"), num_clips=2, out="again.safetensors")
    again = Gallery.read(Path("again.safetensors"))
    assert (again.names, again.class_names, again.facts) == (gallery.names, gallery.class_names, gallery.facts)
    assert torch.equal(again.features, gallery.features)
    (own,) = kdvideo.predict(names[3], gallery="again.safetensors", num_clips=2, top=1)
    assert (own.best[0].video, own.best[0].similarity) == (gallery.names[3], pytest.approx(1))


def test_embed_leaves_out_what_cannot_be_read(beside_clips: Path, caplog: pytest.LogCaptureFixture):
    Path("torn.avi").write_bytes(b"")
    given = [names := "video.mp4", Path("torn.avi")]
    found, features = kdvideo.embed(given, num_clips=1)
    assert (found, features.shape, features.dtype) == ([names], (1, 128), np.float32)
    assert "no feature of torn.avi: cannot be opened" in caplog.text
    for arguments, message in (
        (("nothing.mp4", {}), "does not exist"),
        (("video.mp4", {"num_clips": 0}), "`num_clips` is 0"),
        (("video.mp4", {"out": "x.parquet"}), "video.mp4 is not a folder: give the folder of the videos"),
        (("clips", {"out": "x.csv"}), "must end in .parquet"),
    ):
        with pytest.raises(ValueError, match=message):
            kdvideo.embed(arguments[0], **arguments[1])


def test_a_model_in_memory(beside_clips: Path):
    """It embeds, predicts and is exported as the same weights by name are; tables and galleries want a name."""
    model = kdvideo.create_model(SHIPPED, pretrained=True)
    assert np.array_equal(kdvideo.embed("video.mp4", model=model)[1], kdvideo.embed("video.mp4")[1])
    with pytest.raises(ValueError, match="publish the model, and give its name"):
        kdvideo.embed("clips", model=model, out="x.safetensors")
    with pytest.raises(ValueError, match="tells no classes apart, and galleries are of published weights"):
        kdvideo.predict("video.mp4", model=model)
    torch.manual_seed(0)
    spec = kdvideo.ClipSpec(clip_len=8, size=32)
    classifier = kdvideo.create_model("c3d", num_classes=3, width=4, clip_spec=spec)
    (answer,) = kdvideo.predict("video.mp4", model=classifier, top=2)
    assert [one.class_name.split()[0] for one in answer.best] == ["class", "class"]
    done = kdvideo.export(classifier, "own.pt2", format="torch-export")
    assert (done.path, done.format) == (Path("own.pt2"), "torch-export")
    with pytest.raises(ValueError, match="`format` is 'tflite'; it must be onnx or torch-export"):
        kdvideo.export(classifier, format="tflite")


class Counting(Hook):
    """Counts steps and epochs."""

    def __init__(self) -> None:
        self.steps = self.epochs = 0

    def after_step(self, trainer: Trainer, scalars) -> None:
        self.steps += 1

    def after_epoch(self, trainer: Trainer, metrics: dict) -> None:
        self.epochs += 1
        metrics["seen"] = 1.0


def test_finetune_then_everything(beside_clips: Path, tmp_path: Path):
    """From weights to a published classifier that answers with its classes; hooks see steps and epochs."""
    counting = Counting()
    result = kdvideo.finetune(
        model=Path(shutil.copy(kdvideo_weights(), "own.safetensors")),
        data="clips",
        out="run",
        hooks=[counting],
        ZOO={"PUBLISH_AS": "mine3"},
        SOLVER={"EPOCHS": 2, "BATCH_SIZE": 6},
        DATA={"NUM_WORKERS": 0},
        EVAL={"FINAL_CLIPS_PER_VIDEO": 1},
    )
    classes = sorted(path.name for path in Path("clips").iterdir())
    assert list(result.model.class_names) == classes
    assert result.model.backbone.clip_spec == kdvideo.create_model(SHIPPED).clip_spec
    assert counting.epochs == 2
    assert counting.steps >= 2
    (answer,) = kdvideo.predict("video.mp4", model="mine3", top=9)
    assert sorted(one.class_name for one in answer.best) == classes
    (in_memory,) = kdvideo.predict("video.mp4", model=result.model, top=9)
    assert [one.class_name for one in in_memory.best] == [one.class_name for one in answer.best]
    found = kdvideo.evaluate("mine3", "clips", out=tmp_path / "eval", EVAL={"FINAL_CLIPS_PER_VIDEO": 1})
    figures = {name: value for name, value in result.metrics.items() if name in found.metrics}
    assert figures
    assert {name: found.metrics[name] for name in figures} == figures
    assert simplejson.loads((tmp_path / "eval" / "evaluation.json").read_text())["metrics"] == found.metrics
    kdvideo.publish("run", "mine.again", licence="MIT")
    again = kdvideo.create_model("mine.again", pretrained=True).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in result.model.state_dict().items())
    assert kdvideo.publish(result.model, "mine.memory", licence="MIT").classes == classes


def kdvideo_weights() -> Path:
    from kdvideo.zoo.sources import resolve_weights

    return resolve_weights(SHIPPED).path


def test_from_scratch_and_mistakes(beside_clips: Path, shortly: None):
    result = kdvideo.finetune(model="c3d", data="clips", out="run")
    assert result.model.num_classes == len(list(Path("clips").iterdir()))
    with pytest.raises(ValueError, match="r3d_11"):
        kdvideo.finetune(model="r3d_11", data="clips", out="other")
    with pytest.raises(ValueError, match=r"unknown config key 'EVAL\.CLIPS' from the call"):
        kdvideo.evaluate(SHIPPED, "clips", EVAL={"CLIPS": 1})


def test_all_names_are_listed_lazily():
    """Importing kdvideo loads no torch; what is listed is there."""
    code = (
        "import sys, kdvideo; assert 'torch' not in sys.modules; [getattr(kdvideo, name) for name in kdvideo.__all__]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {*RUNS, *JOBS} <= set(kdvideo.__all__)


NOTEBOOK = """
import signal, sys
import kdvideo
before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)]
names, features = kdvideo.embed("clips", num_workers=1, num_clips=1)
assert len(names) == len(features) > 0
assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)]
print("done", __name__)
"""


@pytest.mark.slow
def test_a_cell_without_a_main_guard(beside_clips: Path):
    """Workers do not run the script again, and signals stay as they were."""
    Path("cell.py").write_text(NOTEBOOK)
    found = subprocess.run([sys.executable, "cell.py"], check=True, capture_output=True, text=True)
    assert found.stdout == "done __main__\n"


def test_a_network_in_training_stays_so(beside_clips: Path):
    """Its answers are those of eval mode, and neither its mode nor its statistics change."""
    spec = kdvideo.ClipSpec(clip_len=4, size=32)
    net = kdvideo.create_model("r3d_10", width=4, num_classes=3, clip_spec=spec).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    answers = [one.best for one in kdvideo.predict("clips", model=net, num_clips=1, top=1)]
    kdvideo.export(net, "net.pt2", format="torch-export")
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [one.best for one in kdvideo.predict("clips", model=net.eval(), num_clips=1, top=1)] == answers
