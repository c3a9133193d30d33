"""Where a teacher's views lie, which of them a sample has, and what its tuple keeps of a plan without views."""

from pathlib import Path

import pytest
import torch

from kdvideo.data import views
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import ucf101
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.kept import kept_clips
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList
from kdvideo.data.views import TeacherViews, ViewedTuples, draw_view, plan_view, view_centre
from kdvideo.registry import PRETEXTS

TEACHER = ClipSpec(clip_len=5, frame_stride=2, size=32, modality="rgb")  # spans of 9 frames


def tuples(kind: type[TrainTuples], root: Path, **options) -> TrainTuples:
    records = ucf101(root, split=1, subset="train")
    layout = TupleLayout(ClipSpec(clip_len=4, size=32), tuple_len=3, interval=1)  # spans of 14 frames
    config = TupleConfig(layout, VCP(), AugmentConfig(), short_side=40)
    return kind(VideoList(records, [64] * len(records)), config, seed=0, num_negatives=0, **options)


def viewed(root: Path, *, answered: bool) -> ViewedTuples:
    teacher = TeacherViews(TEACHER, 3, kept=(0, 2), are_answered=lambda views, videos: answered)
    return tuples(ViewedTuples, root, views=teacher)


def test_centres_part_the_video_evenly():
    """The middles of equal parts, those of a short video, too."""
    assert [view_centre(view, 3, num_frames=60) for view in range(3)] == [10, 30, 50]
    assert [view_centre(view, 4, num_frames=2) for view in range(4)] == [0, 0, 1, 1]
    assert view_centre(0, 1, num_frames=61) == 30


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (60, [(6, 8, 10, 12, 14), (26, 28, 30, 32, 34), (46, 48, 50, 52, 54)]),
        (12, [(0, 2, 4, 6, 8), (2, 4, 6, 8, 10), (3, 5, 7, 9, 11)]),  # as far as the video reaches
        (4, [(0, 2, 0, 2, 0)] * 3),  # looped
    ],
)
def test_views_lie_around_their_centres(num_frames: int, expected: list[tuple[int, ...]]):
    """Within the video, and none of it is drawn."""
    assert [plan_view(TEACHER, view, 3, num_frames=num_frames) for view in range(3)] == expected


def test_all_views_come_up_in_turn():
    """In every three epochs each once; other videos, turns and seeds have other orders."""
    orders = {
        (seed, video, turn): tuple(draw_view(3, seed=seed, key=SampleKey(3 * turn + i, video)) for i in range(3))
        for seed in range(2)
        for video in range(8)
        for turn in range(2)
    }
    assert all(sorted(order) == [0, 1, 2] for order in orders.values())
    assert len(set(orders.values())) == 6
    assert [orders[0, video, 0] for video in range(8)] != [orders[1, video, 0] for video in range(8)]
    assert [orders[0, video, 0] for video in range(8)] != [orders[0, video, 1] for video in range(8)]


def test_the_rest_of_a_plan_is_drawn_as_without_views(tiny_dataset: Path):
    """Crops, colours and, where it does not depend on the place, label; and the clips lie around the view."""
    plain, dataset = tuples(TrainTuples, tiny_dataset), viewed(tiny_dataset, answered=True)
    for video in range(len(plain)):
        for epoch in range(3):
            key = SampleKey(epoch, video)
            one, other = plain.plan(key), dataset.plan(key)
            assert one.augments == other.augments or one.pretext.label != other.pretext.label
            centre = view_centre(dataset.view_of(key), 3, num_frames=64)
            first, last = other.clips[0][0], other.clips[-1][-1]
            assert (first, last) == (centre - 7, centre + 6)  # 10, 32 and 53 of 64 frames: all have room


def test_clips_of_the_teacher_come_only_if_an_answer_is_missing(tiny_dataset: Path):
    """For the whole batch then, and they are the planned frames of the view."""
    keys = [SampleKey(1, video) for video in range(3)]
    assert all("teacher_clips" not in sample for sample in viewed(tiny_dataset, answered=True).__getitems__(keys))
    dataset = viewed(tiny_dataset, answered=False)
    for key, sample in zip(keys, dataset.__getitems__(keys), strict=True):
        assert sample["view"] == dataset.view_of(key)
        assert sample["teacher_clips"].shape == (1, 3, 5, 32, 32)
        assert torch.equal(sample["clips"], viewed(tiny_dataset, answered=True)[key]["clips"])
        again = views.read_views(dataset.videos, key.video, [0, 1, 2], clip=TEACHER, count=3)
        assert torch.equal(sample["teacher_clips"][0], again[sample["view"]])
        assert not torch.equal(again[0], again[1])


def test_what_a_pretext_leaves_alone():
    """A subclass that does something else is no longer sure to leave anything alone."""
    assert kept_clips(VCP, 3) == (0, 2)
    assert kept_clips(VCP, 5) == (0, 1, 3, 4)
    assert kept_clips(VCOP, 3) == (0, 1, 2)
    assert kept_clips(PRETEXTS.get("rotnet"), 3) == ()
    assert kept_clips(type("Own", (VCP,), {}), 3) == ()
