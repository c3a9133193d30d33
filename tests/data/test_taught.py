"""The teacher's own frames against the student's, on generated videos."""

from pathlib import Path

import pytest
import torch

from kdvideo.data import samples
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import ucf101
from kdvideo.data.plan import TupleLayout, plan_sample, respread
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import TupleConfig
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList

STUDENT = ClipSpec(clip_len=4, frame_stride=2, size=32)  # spans of 7 frames


def taught(root: Path, teacher: ClipSpec) -> TaughtTuples:
    records = ucf101(root, split=1, subset="train")
    config = TupleConfig(TupleLayout(STUDENT, tuple_len=3, interval=1), VCP(), AugmentConfig(), short_side=40)
    return TaughtTuples(VideoList(records, [64] * len(records)), config, seed=0, num_negatives=0, teacher=teacher)


@pytest.mark.parametrize(
    ("frames", "clip_len", "expected"),
    [
        ((10, 12, 14, 16), 7, (10, 11, 12, 13, 14, 15, 16)),
        ((10, 12, 14, 16), 4, (10, 12, 14, 16)),
        ((10, 12, 14, 16), 2, (10, 16)),
        ((10, 12, 14, 16), 1, (13,)),
        ((10, 11, 12), 6, (10, 10, 10, 11, 11, 12)),
        ((10,), 2, (10, 10)),
    ],
)
def test_respread(frames, clip_len, expected):
    """Ends included, evenly between, repeated where the span has fewer."""
    assert respread(frames, clip_len) == expected


def test_the_same_convention_gives_the_same_clips(tiny_dataset: Path):
    """Whatever was drawn: crop, colours, blur, pretext operation; 12 samples of all five labels."""
    dataset = taught(tiny_dataset, STUDENT)
    labels = set()
    for index in range(len(dataset)):
        for epoch in range(2):
            sample = dataset[epoch, index]
            labels.add(sample["pretext_label"])
            assert torch.equal(sample["teacher_clips"], sample["clips"])
    assert labels == set(range(5))


def test_each_sample_is_planned_once(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """Student's and teacher's clips come from one plan."""
    planned = []
    monkeypatch.setattr(samples, "plan_sample", lambda *args, **rest: planned.append(1) or plan_sample(*args, **rest))
    taught(tiny_dataset, STUDENT)[0, 0]
    assert planned == [1]


def test_more_frames_come_from_the_video(tiny_dataset: Path):
    """Every second of the teacher's 7 frames is one of the student's 4; the others lie between them."""
    dataset = taught(tiny_dataset, ClipSpec(clip_len=7, size=32, modality="rgb"))
    compared = 0
    for index in range(len(dataset)):
        sample = dataset[0, index]
        ends = [0, 1, 2] if sample["pretext_label"] in (0, 4) else [0, 2]  # the operation on the middle clip knows no 7
        assert sample["teacher_clips"].shape == (3, 3, 7, 32, 32)
        assert torch.equal(sample["teacher_clips"][ends][:, :, ::2], sample["clips"][ends])
        compared += len(ends)
    assert compared > 2 * len(dataset)


def test_a_larger_teacher_sees_the_same_part_of_the_picture(tiny_dataset: Path):
    """At twice the size, shrunk again, the pictures are the student's but for the resizing: a few grey levels."""
    dataset = taught(tiny_dataset, ClipSpec(clip_len=4, size=64))
    sample = dataset[0, 0]
    teacher = torch.nn.functional.avg_pool3d(sample["teacher_clips"].float(), (1, 2, 2))
    assert teacher.shape == sample["clips"].shape
    assert (teacher - sample["clips"].float()).abs().mean() < 6
