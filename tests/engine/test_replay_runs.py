"""Replayed teachers: runs that read give the losses of runs that compute, and a key leaves nothing out."""

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
from fvcore.common.config import CfgNode
from torch import nn
from traces import Trace, train_teacher

from kdvideo.config import load_config
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.videos import VideoList
from kdvideo.engine import replay
from kdvideo.engine.launch import train
from kdvideo.engine.replay import replay_key
from kdvideo.models import FramesBackbone
from kdvideo.models.pcl import build_backbone
from kdvideo.paths import kdvideo_home
from kdvideo.tasks import DistillTask, FrozenTeacher

CPU = torch.device("cpu")
OWN = build_backbone("r3d_10", width=4)


@pytest.fixture
def distill(tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a distillation: its trace of losses, and how often its teacher ran."""
    taught = train_teacher(tiny_overrides)
    calls: list[int] = []
    answer = FrozenTeacher.answer  # which a teacher that sees the clips of its student is asked for directly
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, clips: calls.append(len(clips)) or answer(self, clips))

    def run(name: str, *extra: str) -> tuple[list[dict], int]:
        trace = Trace()
        options = ["OUTPUT_DIR", str(tmp_path / name)]
        calls.clear()
        train(load_config(None, [*taught, *options, *extra]), extra_hooks=(trace,))
        return trace.losses, len(calls)

    return run


@pytest.mark.parametrize(
    "losses",
    [
        [],
        ["TEACHER.LOSSES", "[embedding_distillation, similarity_distillation]", "TEACHER.LOSS_WEIGHTS", "[1, 1]"],
        ["TEACHER.SAMPLING", "own", "SOLVER.AMP", "bf16", "SOLVER.ACCUMULATE", "2", "DATA.AUGMENT_ON", "device"],
    ],
    ids=["logits", "features", "own_frames_bf16"],
)
def test_the_same_losses(distill, losses: list[str]):
    """Online, recording, replayed: every step's every number is the same, bit by bit, and the last asks no teacher."""
    online, num_online = distill("online", *losses)
    recorded, num_recorded = distill("recorded", "TEACHER.REPLAY", "on", *losses)
    replayed, num_replayed = distill("replayed", "TEACHER.REPLAY", "on", *losses)
    assert online == recorded == replayed
    assert "teacher_agreement" in online[0]
    assert num_online == num_recorded > 0
    assert num_replayed == 0


def test_another_student_and_batch(distill):
    """What another student in batches of another size reads is what its own teacher would say, up to rounding."""
    other = ["SOLVER.BATCH_SIZE", "4", "MODEL.BACKBONE", "c3d", "SOLVER.EPOCHS", "1"]
    distill("recorded", "TEACHER.REPLAY", "on")
    online, _ = distill("online", *other)
    replayed, num_replayed = distill("replayed", "TEACHER.REPLAY", "on", *other)
    assert num_replayed == 0
    assert replayed[0] == pytest.approx(online[0], rel=1e-6, abs=1e-6)


def test_another_seed_computes(distill):
    """Its samples are others."""
    distill("recorded", "TEACHER.REPLAY", "on")
    _, num_calls = distill("other", "TEACHER.REPLAY", "on", "SEED", "1")
    assert num_calls > 0


@pytest.fixture
def videos(tmp_path: Path) -> VideoList:
    """Three files of different sizes."""
    paths = [tmp_path / f"{i}.avi" for i in range(3)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (i + 1))
    return VideoList([VideoRecord(path, path.name, 0) for path in paths], [60, 70, 80], ["pyav"] * 3)


def key(
    videos: VideoList,
    *overrides: str,
    teacher: str = "a" * 64,
    device: torch.device = CPU,
    net: nn.Module = OWN,
) -> dict:
    cfg: CfgNode = load_config(None, ["DATA.ROOT", "/videos", *overrides])
    return replay_key(cfg, videos, teacher=net, teacher_sha256=teacher, device=device)


def test_a_foreign_network_brings_its_library(videos: VideoList):
    """Another version of it may compute other answers. kdvideo's own networks need none: their keys are as before."""
    assert set(key(videos)["packages"]) == {"torch", "torchvision", "av", "torchcodec"}
    pytest.importorskip("timm", reason="the extra `teachers` is not installed")
    foreign = build_backbone("timm", model="test_vit.r160_in1k")
    assert key(videos, net=foreign)["packages"] == {**key(videos)["packages"], "timm": metadata.version("timm")}


def test_how_frames_become_one_feature_is_in_the_key(videos: VideoList):
    """A network of frames that takes the maximum over time answers otherwise; the mean is written nowhere."""
    image_net = nn.Conv2d(3, 4, 3)
    mean, most = (FramesBackbone(image_net, pooling=how) for how in ("mean", "max"))
    assert key(videos, net=mean) == key(videos)
    assert key(videos, net=most)["teacher"] == {**key(videos)["teacher"], "pooling": "max"}
    assert (repr(mean) == repr(most), "pooling=max" in repr(most)) == (False, True)  # what a store of views hashes


def test_a_video_that_cannot_be_looked_at(videos: VideoList):
    """The error names the key that wants a store."""
    videos.records[1].path.unlink()
    for asked_by in ("TEACHER.REPLAY", "TEACHER.VIEWS"):
        with pytest.raises(ValueError, match=rf"^{asked_by}: .*1.avi cannot be looked at: No such file"):
            replay.describe_videos(videos, asked_by=asked_by)


def test_a_gpu_and_its_kernels_are_in_the_key(videos: VideoList, monkeypatch: pytest.MonkeyPatch):
    """Another GPU, another cuDNN and other kernels give other last bits; stores of CPUs stay what they were."""
    gpu, cuda = {"name": "A", "cudnn": 91900, "driver": "580"}, torch.device("cuda")
    monkeypatch.setattr(replay, "describe_gpu", lambda device: gpu)
    first = key(videos, device=cuda)
    assert first["teacher"].items() >= {"device": "cuda", "gpu": "A", "cudnn": 91900, "deterministic": True}.items()
    assert key(videos, "SOLVER.DETERMINISTIC", "False", device=cuda) != first
    assert key(videos, "SOLVER.AMP", "tf32", device=cuda) != first
    for other in ({"name": "B"}, {"cudnn": 92000}):
        monkeypatch.setattr(replay, "describe_gpu", lambda device, other=other: {**gpu, **other})
        assert key(videos, device=cuda) != first
    assert key(videos, "SOLVER.DETERMINISTIC", "False") == key(videos)
    assert set(key(videos)["teacher"]) == {"sha256", "device", "amp", "sampling", "clip_spec"}


@pytest.mark.parametrize(
    "overrides",
    [
        ["SEED", "1"],
        ["CLIP.MODALITY", "rgb"],
        ["CLIP.MEAN", "[0.4, 0.4, 0.4]"],
        ["CLIP.LENGTH", "8"],
        ["PRETEXT.NAME", "vcop"],
        ["PRETEXT.INTERVAL", "4"],
        ["AUGMENT.BLUR_PROB", "0.0"],
        ["DATA.SHORT_SIDE", "140"],
        ["DATA.AUGMENT_ON", "device"],
        ["TEACHER.SAMPLING", "own"],
        ["TEACHER.CLIP_SPEC", "kinetics"],
        ["SOLVER.AMP", "bf16"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_what_changes_an_answer_is_in_the_key(videos: VideoList, overrides: list[str]):
    """Each of these makes other clips, or another arithmetic."""
    assert key(videos, *overrides) != key(videos)


def test_teacher_and_videos_are_in_the_key(videos: VideoList):
    """Hash, order, frame counts, readers, and size, by which a proxy differs from its source."""
    same = key(videos)
    assert key(videos) == same
    assert key(videos, teacher="b" * 64) != same
    assert key(videos.subset([0, 1])) != same
    assert key(videos.subset([1, 0, 2])) != same
    assert key(replace(videos, num_frames=[60, 70, 81])) != same
    assert key(replace(videos, readers=["pyav", "pyav", "torchcodec"])) != same
    assert key(replace(videos, readers=())) == same  # PyAV for all
    videos.records[0].path.write_bytes(b"longer")
    assert key(videos) != same


@pytest.mark.parametrize(
    "overrides",
    [["SOLVER.EPOCHS", "7"], ["SOLVER.BATCH_SIZE", "4"], ["MODEL.BACKBONE", "c3d"], ["DATA.NUM_WORKERS", "5"]],
    ids=lambda overrides: overrides[0],
)
def test_what_changes_no_answer_is_not(videos: VideoList, overrides: list[str]):
    """Students of all kinds share a store."""
    assert key(videos, *overrides) == key(videos)


def test_a_run_says_what_it_stores(distill, tmp_path: Path):
    """Size and place, before it is written; 12 videos, 2 epochs, 24 bytes each."""
    distill("recorded", "TEACHER.REPLAY", "on")
    log = (tmp_path / "recorded" / "log.txt").read_text()
    assert "teacher replay: 0.0 MB in" in log
    assert "0 of 24 answers are there" in log
    distill("replayed", "TEACHER.REPLAY", "on")
    assert "24 of 24 answers are there" in (tmp_path / "replayed" / "log.txt").read_text()


def test_a_task_that_does_not_know_replay_is_told(distill, monkeypatch: pytest.MonkeyPatch):
    """A teacher's task of a user's own; nothing is written for it."""
    monkeypatch.setattr(DistillTask, "needs", replace(DistillTask.needs, replay=False))
    with pytest.raises(
        ValueError, match=r"TEACHER\.REPLAY is on, but TASK\.NAME distill does not know it: set it to off"
    ):
        distill("recorded", "TEACHER.REPLAY", "on")
    assert not (kdvideo_home() / "replay").exists()
