"""Plans of samples against what a tuple of clips must be, for every video length from 1 to 400 frames."""

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import (
    TupleLayout,
    plan_fixed_tuple,
    plan_sample,
)
from kdvideo.data.pretexts.base import Pretext, PretextPlan
from kdvideo.data.pretexts.vcp import VCP

LENGTHS = range(1, 401)
SHAPES = list(itertools.product((4, 8, 16), (1, 2, 3)))  # clip_len, frame_stride
INTERVALS = range(9)
REMOTE = 4


def layout_of(clip_len=4, stride=1, interval=2, tuple_len=3):
    return TupleLayout(clip=ClipSpec(clip_len=clip_len, frame_stride=stride), tuple_len=tuple_len, interval=interval)


def sample(layout, num_frames, seed=0, epoch=0, index=0, augment=None):
    return plan_sample(
        layout,
        VCP(),
        augment=augment or AugmentConfig(),
        seed=seed,
        key=SampleKey(epoch, index),
        num_frames=num_frames,
    )


def fixed(layout, num_frames, slot=0, num_slots=10, index=0):
    return plan_fixed_tuple(layout, VCP(), index=index, slot=slot, num_slots=num_slots, num_frames=num_frames)


def slow_interval(num_frames, *, extent, tuple_len, wanted):
    """The largest interval up to the wanted one that fits, by trying one after the other; None if none does."""
    fitting = [i for i in range(wanted + 1) if tuple_len * extent + (tuple_len - 1) * i <= num_frames]
    return max(fitting) if fitting else None


def assert_tuple_is_sound(plan, layout, num_frames):
    """Inside the video, strides right, no overlaps, intervals exact, remote clips far; for three clips and more."""
    clip, extent = layout.clip, (layout.clip.clip_len - 1) * layout.clip.frame_stride + 1
    interval = slow_interval(num_frames, extent=extent, tuple_len=layout.tuple_len, wanted=layout.interval)
    assert len(plan.clips) == layout.tuple_len
    for frames in plan.clips:
        assert frames == tuple(range(frames[0], frames[0] + extent, clip.frame_stride))
        assert len(frames) == clip.clip_len
        assert frames[0] >= 0
        assert frames[-1] < num_frames
    spans = sorted((frames[0], frames[-1]) for frames in plan.clips)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans)), "clips overlap"

    middle = (
        layout.tuple_len // 2
    )  # with label 4 it is elsewhere, and its neighbours lie a clip and two intervals apart
    start = plan.clips[0][0]
    expected = [start + i * (extent + interval) for i in range(layout.tuple_len)]
    in_place = [i for i in range(layout.tuple_len) if plan.pretext.label != REMOTE or i != middle]
    assert [plan.clips[i][0] for i in in_place] == [expected[i] for i in in_place]
    if plan.pretext.label == REMOTE:
        remote, first, last = plan.clips[middle], expected[0], expected[-1] + extent - 1
        free = first - remote[-1] - 1 if remote[-1] < first else remote[0] - last - 1
        assert free >= extent


@pytest.mark.parametrize(("clip_len", "stride"), SHAPES)
@pytest.mark.parametrize("tuple_len", [2, 3, 5])
def test_interval_is_the_largest_that_fits_in_every_length(clip_len, stride, tuple_len):
    """For every length and wanted interval it is what trying each one finds; shorter videos are refused."""
    extent = ClipSpec(clip_len=clip_len, frame_stride=stride).extent
    for wanted in INTERVALS:
        layout = layout_of(clip_len, stride, wanted, tuple_len)
        assert layout.min_frames == tuple_len * extent
        for num_frames in LENGTHS:
            expected = slow_interval(num_frames, extent=extent, tuple_len=tuple_len, wanted=wanted)
            if expected is None:
                with pytest.raises(AssertionError):
                    layout.interval_in(num_frames)
            else:
                assert layout.interval_in(num_frames) == expected


@pytest.mark.parametrize(
    ("num_frames", "interval"), [(12, 0), (13, 0), (14, 1), (15, 1), (16, 2), (17, 2), (18, 3), (19, 3), (400, 3)]
)
def test_interval_by_hand(num_frames, interval):
    """Three clips of 4 frames and two gaps: 12 frames leave none, every two more a frame of interval, up to three."""
    assert layout_of(clip_len=4, interval=3).interval_in(num_frames) == interval


@pytest.mark.parametrize(("clip_len", "stride"), SHAPES)
def test_sampled_tuples_are_sound_in_every_length(clip_len, stride):
    """For every length that holds a tuple and every interval, the planned clips are a tuple of the definition."""
    planned = 0
    for interval in INTERVALS:
        layout = layout_of(clip_len, stride, interval)
        for num_frames in range(layout.min_frames, LENGTHS.stop):
            assert_tuple_is_sound(sample(layout, num_frames, index=interval), layout, num_frames)
            planned += 1
    assert planned == len(INTERVALS) * (LENGTHS.stop - 3 * ((clip_len - 1) * stride + 1))


@given(
    clip_len=st.sampled_from([4, 8, 16]),
    stride=st.integers(1, 3),
    interval=st.integers(0, 8),
    tuple_len=st.sampled_from([3, 5]),
    slack=st.integers(0, 300),
    key=st.tuples(st.integers(0, 2**31), st.integers(0, 1000), st.integers(0, 10**6)),
)
def test_sampled_tuples_are_sound_for_any_key(clip_len, stride, interval, tuple_len, slack, key):
    """The same for other tuple lengths and arbitrary seeds, epochs and videos."""
    layout = layout_of(clip_len, stride, interval, tuple_len)
    num_frames = layout.min_frames + slack
    plan = sample(layout, num_frames, *key)
    assert_tuple_is_sound(plan, layout, num_frames)


def test_every_start_is_sampled_and_none_else():
    """In 40 frames a tuple of 16 starts anywhere from 0 to 24."""
    layout = layout_of(clip_len=4, interval=2)
    starts = {sample(layout, 40, index=index).clips[0][0] for index in range(600)}
    # 25 (24/25)^600 is 6e-10: no start is left out by chance.
    assert starts == set(range(25))


def test_a_tuple_that_just_fits_starts_at_0():
    """With exactly min_frames the clips lie end to end over the whole video, and no clip can be remote."""
    layout = layout_of(clip_len=4, interval=5)
    for index in range(50):
        plan = sample(layout, 12, index=index)
        assert plan.clips == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
        assert plan.pretext.label != REMOTE


class Backwards(Pretext):
    """A user's own pretext with a `plan` of its own, which returns label, argument and clips."""

    num_classes = 2

    def plan(self, draws, clips, *, num_frames, label_slot=None):
        return PretextPlan(label=1, argument=7, clips=tuple(clips[::-1]))


def test_samples_have_the_clips_that_an_own_pretext_has_planned():
    """What is decoded is what the pretext task planned, with the operation that it chose."""
    layout = layout_of()
    plan = plan_sample(
        layout, Backwards(), augment=AugmentConfig(), seed=0, key=SampleKey(0, 0), num_frames=layout.min_frames
    )
    assert plan.clips == ((8, 9, 10, 11), (4, 5, 6, 7), (0, 1, 2, 3))
    assert (plan.pretext.label, plan.pretext.argument) == (1, 7)


def test_plan_sample_is_a_function_of_its_key():
    """The same key gives the same plan in any order and under any global seed, and moves no global generator."""
    layout = layout_of()
    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1, 2)]
    rounds = []
    for order in (keys, keys[::-1]):
        np.random.seed(len(rounds))  # noqa: NPY002 - the global generator is what this is about
        torch.manual_seed(len(rounds))
        random.seed(len(rounds))
        before = np.random.get_state()[1].copy(), np.random.get_state()[2], torch.get_rng_state(), random.getstate()  # noqa: NPY002
        rounds.append({key: sample(layout, 90, *key) for key in order})
        assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
        assert before[1] == np.random.get_state()[2]  # noqa: NPY002
        assert torch.equal(before[2], torch.get_rng_state())
        assert before[3] == random.getstate()
    assert rounds[0] == rounds[1]
    # Every part of the key counts: the crops alone are 53-bit numbers, so no two plans are equal by chance.
    assert len({plan.augments for plan in rounds[0].values()}) == len(keys)


def test_each_part_of_the_key_moves_the_tuple():
    """Start and label change with the seed, the epoch and the video, not only the colours."""
    layout = layout_of()
    for part in range(3):
        keys = [tuple(value if i == part else 0 for i in range(3)) for value in range(40)]
        plans = [sample(layout, 200, *key) for key in keys]
        # 40 starts of 185 that are all among 10 are next to impossible; so is a label left out (5 (4/5)^40 = 7e-4,
        # with fixed draws).
        assert len({plan.clips[0][0] for plan in plans}) > 10
        assert {plan.pretext.label for plan in plans} == {0, 1, 2, 3, 4}


def test_the_augmentation_does_not_move_the_tuple():
    """Another augmentation strength leaves the clips and the label of a key as they were."""
    layout = layout_of()
    weak = AugmentConfig(flip_prob=0, color_prob=0, grayscale_prob=0, blur_prob=0)
    for index in range(30):
        one, two = sample(layout, 90, index=index), sample(layout, 90, index=index, augment=weak)
        assert (one.clips, one.pretext) == (two.clips, two.pretext)


def test_every_clip_has_an_augmentation_of_its_own():
    """One draw a clip: the crops of a tuple's clips differ and lie in [0, 1)."""
    for index in range(20):
        augments = sample(layout_of(tuple_len=5), 90, index=index).augments
        assert len(augments) == 5
        assert len({augment.crop for augment in augments}) == 5
        assert all(0 <= place < 1 for augment in augments for place in augment.crop)


@pytest.mark.parametrize(("clip_len", "stride"), SHAPES)
def test_fixed_tuples_are_sound_in_every_length(clip_len, stride):
    """Evaluation tuples of every slot and length are tuples of the same definition."""
    for interval in (0, 3, 8):
        layout = layout_of(clip_len, stride, interval)
        for num_frames in range(layout.min_frames, LENGTHS.stop):
            slot = num_frames % 10
            assert_tuple_is_sound(fixed(layout, num_frames, slot, index=num_frames), layout, num_frames)


def test_fixed_tuples_only_crop_the_centre():
    """Evaluation augments nothing: the crop in the middle, no flip, no colours, no blur, for every clip."""
    for slot in range(10):
        augments = fixed(layout_of(), 90, slot).augments
        assert len(augments) == 3
        for augment in augments:
            assert augment.crop == (0.5, 0.5)
            assert (augment.flip, augment.jitter, augment.grayscale, augment.blur_sigma) == (False, (), False, 0.0)


def test_fixed_tuples_are_the_same_for_every_seed():
    """No seed goes in, and no global one either: two evaluations see the same tuples."""
    rounds = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what this is about
        torch.manual_seed(seed)
        random.seed(seed)
        rounds.append([fixed(layout_of(), 90, slot, index=index) for index in range(5) for slot in range(10)])
    assert rounds[0] == rounds[1]


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize(("clip_len", "stride"), SHAPES)
def test_ten_slots_hold_every_label_twice(clip_len, stride, index):
    """With room for a remote clip wherever the tuple lies, the labels of ten slots are balanced."""
    layout = layout_of(clip_len, stride)
    extent, span = layout.clip.extent, 3 * layout.clip.extent + 2 * 2
    # Room before needs 2 extents of free frames, and so does room after: with 4 extents - 1 one of them is there.
    for num_frames in (span + 4 * extent - 1, span + 4 * extent, span + 6 * extent, 1000):
        labels = [fixed(layout, num_frames, slot, index=index).pretext.label for slot in range(10)]
        assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_eight_slots_hold_every_other_label_twice_without_room():
    """In a video the tuple fills, the labels 0 to 3 are balanced."""
    layout = layout_of()
    labels = [fixed(layout, layout.min_frames, slot, num_slots=8).pretext.label for slot in range(8)]
    assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3]
