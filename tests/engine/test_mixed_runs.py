"""Runs on mixed clips: with a teacher, with labels, stored answers, several parts, a stop, and on the device."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from traces import Trace, train_teacher

from kdvideo.config import load_config, validate_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.launch import train
from kdvideo.engine.stop import Preempted
from kdvideo.models.pcl import ClassificationModel, build_backbone
from kdvideo.tasks import SupervisedTask

NONE = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"]
MIXED = ["AUGMENT.MIXUP", "1.0"]


def trace(overrides: list[str], *options: str, **keywords) -> list[dict]:
    hook = Trace()
    train(load_config(None, [*overrides, *options]), extra_hooks=(hook,), **keywords)
    return hook.losses


@pytest.fixture
def taught(tiny_overrides: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a pure distillation from a teacher whose clips are shorter than the student's."""
    losses = ["TEACHER.LOSSES", "[embedding_distillation]"]
    return [*train_teacher(tiny_overrides, "CLIP.LENGTH", "4"), *NONE, *losses]


@pytest.mark.parametrize("sampling", ["shared", "own"])
def test_replay_equals_online(taught: list[str], tmp_path: Path, monkeypatch, sampling: str):
    """Bit by bit, also for a second student, whose teacher is not asked; without mixing, there is another store."""
    monkeypatch.setenv("KDVIDEO_HOME", str(tmp_path / "home"))
    options = [*MIXED, "TEACHER.SAMPLING", sampling]
    online = trace(taught, *options, "OUTPUT_DIR", str(tmp_path / "online"))
    stored = [
        trace(taught, *options, "TEACHER.REPLAY", "True", "OUTPUT_DIR", str(tmp_path / name)) for name in ("a", "b")
    ]
    assert online == stored[0] == stored[1]
    plain = trace(taught, "TEACHER.SAMPLING", sampling, "TEACHER.REPLAY", "True", "OUTPUT_DIR", str(tmp_path / "c"))
    assert plain != online
    assert len([path for path in (tmp_path / "home" / "replay").iterdir() if path.is_dir()]) == 2


def test_a_stopped_run_goes_on_to_the_bit(taught: list[str], tmp_path: Path):
    """In mid-epoch; the same partners and shares come again."""
    whole = trace(taught, *MIXED, "OUTPUT_DIR", str(tmp_path / "whole"))
    hook, calls = Trace(), iter([False, False, True])

    class Stop:
        def __enter__(self):
            return lambda: next(calls)

        def __exit__(self, *error: object) -> None:
            return None

    parts = [*taught, *MIXED, "OUTPUT_DIR", str(tmp_path / "parts")]
    with pytest.raises(Preempted):
        train(load_config(None, parts), extra_hooks=(hook,), stopping=Stop)
    assert hook.losses + trace(parts, resume=True) == whole


@pytest.mark.parametrize("task", ["distill", "supervised"])
def test_frames_on_the_device_are_mixed_alike(request, tiny_overrides: list[str], tmp_path: Path, task: str):
    """From the videos, and gathered from both videos' frames on the device."""
    given = request.getfixturevalue("taught") if task == "distill" else [*tiny_overrides, "TASK.NAME", task]
    common = [*given, *MIXED, "DATA.AUGMENT_ON", "device"]
    resident = ["DATA.CACHE", str(tmp_path / "frames"), "DATA.CACHE_ON", "device"]
    videos = trace(common, "OUTPUT_DIR", str(tmp_path / "videos"))
    assert videos == trace(common, *resident, "OUTPUT_DIR", str(tmp_path / "resident"))
    assert videos != trace([*given, "DATA.AUGMENT_ON", "device"], "OUTPUT_DIR", str(tmp_path / "plain"))


def test_labels_are_mixed_as_soft_targets():
    """The loss is the cross-entropy against both labels with their shares as probabilities."""
    torch.manual_seed(0)
    clip = ClipSpec(clip_len=4, size=32)
    task = SupervisedTask(ClassificationModel(build_backbone("r3d_10", width=4, clip_spec=clip), num_classes=5)).eval()
    batch = {
        "clips": torch.randint(0, 256, (3, 1, 3, 4, 32, 32), dtype=torch.uint8),
        "class_id": torch.tensor([0, 1, 2]),
        "partner_class": torch.tensor([4, 1, 0]),
        "share": torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64),
    }
    share = batch["share"].float()[:, None]
    targets = share * F.one_hot(batch["class_id"], 5) + (1 - share) * F.one_hot(batch["partner_class"], 5)
    logits = task.trainable(task.prepare(batch["clips"].flatten(0, 1)))
    torch.testing.assert_close(task(batch)["loss"], F.cross_entropy(logits, targets))


def test_what_cannot_be_mixed_is_refused(tiny_overrides: list[str]):
    """A pretext has no label for a mixture, and answers to views are to other clips."""
    losses = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "t", "TEACHER.LOSSES", "[embedding_distillation]"]
    for options, message in (
        ([], r"AUGMENT\.MIXUP is 1, but PRETEXT\.NAME is vcp: .*: set it to 0, or PRETEXT\.NAME to none"),
        (
            [*NONE, *losses, "TEACHER.VIEWS", "2"],
            r"TEACHER\.VIEWS is 2, .* AUGMENT\.MIXUP is 1: set one of them to 0",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            validate_config(load_config(None, [*tiny_overrides, *MIXED, *options]))
