"""Uniform clips, negatives and epoch orders: what a plan takes from a video or a list without drawing a tuple."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.plan import epoch_order, plan_negatives, plan_uniform_clips

LENGTHS = range(1, 401)
SHAPES = list(itertools.product((4, 8, 16), (1, 2, 3)))  # clip_len, frame_stride


@pytest.mark.parametrize("num_clips", [1, 2, 3, 10])
@pytest.mark.parametrize(("clip_len", "stride"), SHAPES)
def test_uniform_clips_in_every_length(clip_len, stride, num_clips):
    """From every length the asked number of clips, in order, evenly spread from the first frame to the last."""
    clip = ClipSpec(clip_len=clip_len, frame_stride=stride)
    for num_frames in LENGTHS:
        clips = plan_uniform_clips(clip, num_clips, num_frames=num_frames)
        assert len(clips) == num_clips
        starts = [frames[0] for frames in clips]
        for frames in clips:
            assert frames == tuple((frames[0] + t * stride) % num_frames for t in range(clip_len))
        if num_frames < clip.extent:
            assert starts[0] == 0
            continue
        assert all(frames[-1] == frames[0] + clip.extent - 1 < num_frames for frames in clips)
        if num_clips > 1:
            assert starts[0] == 0
            assert clips[-1][-1] == num_frames - 1
            # Even: each start lies within half a frame of the exact division, or a frame if it is cut, not rounded.
            exact = [i * (num_frames - clip.extent) / (num_clips - 1) for i in range(num_clips)]
            assert all(abs(start - place) < 1 for start, place in zip(starts, exact, strict=True))


def test_uniform_clips_by_hand():
    """Three clips of every other frame, and a video of three frames that loops."""
    clip = ClipSpec(clip_len=4, frame_stride=2)
    assert list(plan_uniform_clips(clip, 3, num_frames=17)) == [(0, 2, 4, 6), (5, 7, 9, 11), (10, 12, 14, 16)]
    assert next(iter(plan_uniform_clips(clip, 1, num_frames=3))) == (0, 2, 1, 0)
    assert next(iter(plan_uniform_clips(clip, 1, num_frames=1))) == (0, 0, 0, 0)


@given(
    num_videos=st.integers(2, 300),
    num_negatives=st.integers(1, 400),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 300),
    data=st.data(),
)
def test_negatives_are_other_videos(num_videos, num_negatives, seed, epoch, data):
    """They are distinct, as many as asked or as there are, in the set, and never the video itself."""
    index = data.draw(st.integers(0, num_videos - 1))
    key = SampleKey(epoch, index)
    negatives = plan_negatives(seed=seed, key=key, num_videos=num_videos, num_negatives=num_negatives)
    assert negatives.dtype == np.int64
    assert negatives.shape == (min(num_negatives, num_videos - 1),)
    assert len(set(negatives.tolist())) == len(negatives)
    assert set(negatives.tolist()) <= set(range(num_videos)) - {index}


@pytest.mark.parametrize("index", [0, 1, 6, 10, 11])
def test_every_other_video_is_a_negative_as_often(index):
    """Of 12 videos each of the other 11 comes alike, also the neighbours and the ends."""
    keys = [SampleKey(epoch, index) for epoch in range(1100)]
    drawn = [plan_negatives(seed=0, key=key, num_videos=12, num_negatives=3).tolist() for key in keys]
    counts = [sum(video in negatives for negatives in drawn) for video in range(12) if video != index]
    # Each is expected 300 times with a standard deviation of (1100 * 3/11 * 8/11)^0.5 = 14.8: five of them are 74,
    # and a video that stands in for another as well comes 600 times.
    assert all(abs(count - 300) < 74 for count in counts)


def test_negatives_are_a_function_of_their_key():
    """The same key gives the same negatives, and every part of it changes them."""
    keys = [(seed, SampleKey(epoch, index)) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]

    def negatives(seed: int, key: SampleKey) -> tuple[int, ...]:
        return tuple(plan_negatives(seed=seed, key=key, num_videos=10_000, num_negatives=20).tolist())

    rounds = [[negatives(*key) for key in order][:: 1 - 2 * flip] for flip, order in enumerate((keys, keys[::-1]))]
    assert rounds[0] == rounds[1]
    assert len(set(rounds[0])) == len(keys)


@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 1000), num_samples=st.integers(0, 500))
def test_epoch_orders_hold_every_sample_once(seed, epoch, num_samples):
    """An epoch goes once through all samples, and the same seed and epoch do so alike."""
    order = epoch_order(seed=seed, epoch=epoch, num_samples=num_samples)
    assert sorted(int(i) for i in order) == list(range(num_samples))
    assert list(order) == list(epoch_order(seed=seed, epoch=epoch, num_samples=num_samples))


def test_epoch_orders_differ_by_epoch_and_seed():
    """Six epochs of three seeds go through 50 samples in 18 different orders."""
    orders = {
        tuple(int(i) for i in epoch_order(seed=seed, epoch=epoch, num_samples=50))
        for seed in range(3)
        for epoch in range(6)
    }
    assert len(orders) == 18


def test_epoch_orders_start_anywhere():
    """Over 2000 epochs each of 10 samples comes first about 200 times."""
    firsts = [int(epoch_order(seed=0, epoch=epoch, num_samples=10)[0]) for epoch in range(2000)]
    # The standard deviation of a count is (2000 * 0.1 * 0.9)^0.5 = 13.4; five of them are 67.
    assert all(abs(firsts.count(sample_index) - 200) < 67 for sample_index in range(10))
