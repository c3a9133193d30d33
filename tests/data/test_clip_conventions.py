"""Input conventions: what is written of them, what is refused, and how their frames are chosen and resized."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

import kdvideo
from kdvideo.data import misfits
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import TupleLayout, middles_of, plan_clip, plan_uniform_clips
from kdvideo.data.pretexts.no_pretext import NoPretext
from kdvideo.data.readers.decode import read_frames
from kdvideo.data.samples import TupleConfig, UniformClips
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.views import plan_view, read_views
from kdvideo.inference import explain
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.formats.conventions import parse_clip_spec

ENTRIES = sorted(Path(__file__).parents[2].glob("model_zoo/entries/*.json"))
FORMER = ["clip_len", "frame_stride", "size", "mean", "std", "modality"]  # the keys before there were any others
OWN = ClipSpec(clip_len=4, size=28, modality="rgb", short_side=32, interpolation="bicubic", sampling="uniform")
SQUEEZED = replace(OWN, resize="squash")
EVEN = ClipSpec(short_side=128, rounding="even")


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_a_shipped_network_is_written_as_it_was(path: Path):
    """Byte for byte: the fields that it has not are at their defaults, which are not written."""
    text = path.read_text()
    entry = ZooEntry.from_json(text, origin=path.name)
    assert json.dumps(entry.model.to_dict()) == json.dumps(json.loads(text)["model"])


def test_a_default_is_not_written():
    """So headers, checkpoints and replay keys of before stay the same."""
    assert list(ClipSpec().to_dict()) == FORMER
    assert list(OWN.to_dict()) == [*FORMER, "short_side", "interpolation", "sampling"]
    assert list(ClipSpec(short_side=128).to_dict()) == [*FORMER, "short_side"]
    assert list(SQUEEZED.to_dict()) == [*FORMER, "short_side", "interpolation", "sampling", "resize"]
    assert list(EVEN.to_dict()) == [*FORMER, "short_side", "rounding"]


@pytest.mark.parametrize("spec", [ClipSpec(), OWN, SQUEEZED, EVEN, ClipSpec(interpolation="bicubic")])
def test_a_written_one_is_read(spec: ClipSpec):
    """Through JSON, and as a user writes it."""
    text = json.dumps(spec.to_dict())
    assert ClipSpec.from_dict(json.loads(text)) == spec
    assert parse_clip_spec(text) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"short_side": 100}, "short_side is 100; it must be a whole number from size, 112, to 65536"),
        ({"short_side": 128.0}, "short_side is 128.0; it must be a whole number"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; it must be bilinear or bicubic"),
        ({"sampling": "dense"}, "sampling is 'dense'; it must be stride or uniform"),
        ({"rounding": "up"}, "rounding is 'up'; it must be down or even"),
        ({"resize": "pad"}, "resize is 'pad'; it must be short_side or squash"),
    ],
)
def test_what_is_refused(change: dict, message: str):
    """In one line, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        ClipSpec.from_dict({**ClipSpec().to_dict(), **change})


def test_uniform_clips_by_hand():
    """The middles of equal segments (TSN's test, X-CLIP, UMT); several clips are interleaved; short videos repeat."""
    clip = ClipSpec(clip_len=4, sampling="uniform")
    assert plan_uniform_clips(clip, 1, num_frames=40) == [(5, 15, 25, 35)]
    assert plan_uniform_clips(clip, 2, num_frames=16) == [(1, 5, 9, 13), (3, 7, 11, 15)]
    assert plan_uniform_clips(clip, 1, num_frames=2) == [(0, 0, 1, 1)]
    assert plan_uniform_clips(clip, 3, num_frames=1) == [(0, 0, 0, 0)] * 3
    assert middles_of((10, 12, 14, 18), 3) == (11, 14, 17)


def test_uniform_training_clips_have_a_frame_of_each_segment():
    """All at the same drawn place of their segments, another one in each epoch; no frame lies beyond the video."""
    clip, augment = ClipSpec(clip_len=4, sampling="uniform"), AugmentConfig()
    drawn = [plan_clip(clip, augment, seed=0, key=SampleKey(epoch, 0), num_frames=40)[0] for epoch in range(99)]
    assert {frames[0] for frames in drawn} == set(range(10))
    assert all(frames == tuple(range(frames[0], 40, 10)) for frames in drawn)


def test_pixels_are_those_of_a_whole_resized_frame(tiny_dataset: Path):
    """A bicubic convention with its own short side: each frame resized whole, its middle cut out, half pixels down."""
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="test")
    path, count = videos.records[0].path, videos.num_frames[0]
    clips = kdvideo.load_clips(path, OWN, num_clips=2)
    for clip, frames in zip(clips, plan_uniform_clips(OWN, 2, num_frames=count), strict=True):
        whole = F.resize(
            read_frames(path, frames, reader="pyav"), [32], interpolation=InterpolationMode.BICUBIC, antialias=True
        )
        top, left = ((side - 28) // 2 for side in whole.shape[-2:])
        assert torch.equal(clip.transpose(0, 1), whole[..., top : top + 28, left : left + 28])
    assert torch.equal(clips, UniformClips(videos, OWN, num_clips=2, short_side=32)[0]["clips"])
    assert not torch.equal(clips, kdvideo.load_clips(path, replace(OWN, interpolation="bilinear"), num_clips=2))


def test_squeezed_pixels_are_the_same_wherever_they_are_read(tiny_dataset: Path):
    """By retrieval, views, the clips of a loop and Grad-CAM: the whole frame as a square."""
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="test")
    path, count = videos.records[0].path, videos.num_frames[0]
    clip = kdvideo.load_clips(path, SQUEEZED, num_clips=1)
    (numbers,) = plan_uniform_clips(SQUEEZED, 1, num_frames=count)
    frames = read_frames(path, numbers, reader="pyav")
    assert frames.shape[-1] != frames.shape[-2]
    whole = F.resize(frames, [32, 32], interpolation=InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(clip[0].transpose(0, 1), whole[..., 2:30, 2:30])
    assert torch.equal(clip, read_views(videos, 0, [0], clip=SQUEEZED, count=1))
    _, explained = explain._read_clips(path, replace(SQUEEZED, clip_len=count), time_limit=60)
    assert torch.equal(explained[0][:, list(numbers)], clip[0])


def test_a_teacher_that_squeezes_sees_the_whole_frame(tiny_dataset: Path):
    """Its own frames of a training sample, wherever the student's crop lies."""
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="train")
    teacher = ClipSpec(clip_len=4, size=32, modality="rgb", short_side=32, resize="squash")
    still = AugmentConfig(flip_prob=0, color_prob=0, grayscale_prob=0, blur_prob=0)
    layout = TupleLayout(ClipSpec(clip_len=4, size=28), tuple_len=1, interval=0)
    tuples = TupleConfig(layout, NoPretext(), still, short_side=32)
    taught = TaughtTuples(videos, tuples, seed=0, num_negatives=0, teacher=teacher)
    key = SampleKey(0, 1)
    (frames,) = taught.plan(key).clips
    whole = F.resize(read_frames(videos.records[1].path, frames, reader="pyav"), [32, 32], antialias=True)
    assert torch.equal(taught[key]["teacher_clips"][0].transpose(0, 1), whole)


def test_a_view_of_a_uniform_teacher_spans_its_part(tiny_dataset: Path):
    """K views are K parts of the video; one view is the clip of the evaluation, to the bit."""
    assert [plan_view(OWN, view, 2, num_frames=40) for view in (0, 1)] == [(2, 7, 12, 17), (22, 27, 32, 37)]
    assert plan_view(OWN, 4, 5, num_frames=3) == (2, 2, 2, 2)
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="test")
    view = read_views(videos, 0, [0], clip=OWN, count=1)
    assert torch.equal(view, kdvideo.load_clips(videos.records[0].path, OWN, num_clips=1))


def test_misfits_are_said_once(tiny_dataset: Path, caplog: pytest.LogCaptureFixture):
    """Videos that are shorter than a clip, or smaller than its frames."""
    caplog.set_level("INFO", logger="kdvideo")
    videos = kdvideo.load_dataset("ucf101", tiny_dataset, subset="test")
    count = len(videos)
    caplog.clear()
    for _ in range(2):
        misfits.tell_short(videos, ClipSpec(clip_len=1000), who="a teacher")
        misfits.tell_short(videos, ClipSpec(clip_len=2), who="a teacher")
        misfits.tell_small(videos, 1111, who="a teacher")
        misfits.tell_small(videos, 2, who="a teacher")
        misfits.tell_short_one("a.mp4", 7, ClipSpec(clip_len=1001))
        misfits.tell_short_one("b.mp4", 8, ClipSpec(clip_len=1001))
    short, small, one = caplog.messages
    assert short == f"{count} of {count} videos have fewer than the 1000 frames of a teacher's clip: they are looped"
    assert small.startswith(f"{count} of {count} videos are enlarged for a teacher: their shorter side, ")
    assert one == "a.mp4 has 7 frames, fewer than the 1001 of a clip: such videos are looped"
