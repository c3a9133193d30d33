"""Clip orders against the list that a hand writes."""

import pytest
import torch

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.vcop import VCOP

CLIPS = [(0, 1), (4, 5), (8, 9)]
ORDERS = ["012", "021", "102", "120", "201", "210"]  # all orders of three things, in the order of a dictionary


def test_every_label_is_one_order():
    """Label k shows the clips in the k-th order; the frames of a clip stay together."""
    for label, order in enumerate(ORDERS):
        plan = VCOP().plan(Draws(0, "test"), CLIPS, num_frames=20, label_slot=label)
        assert plan.label == label
        assert plan.clips == tuple(CLIPS[int(place)] for place in order)


def test_there_is_a_class_for_each_order():
    """3! of them, and slots go round."""
    assert VCOP.num_classes == 6
    assert VCOP().plan(Draws(0, "test"), CLIPS, num_frames=20, label_slot=8).label == 2


def test_all_orders_are_drawn():
    """600 draws: each order 100 times, give or take 5 standard deviations of 9.1."""
    labels = [VCOP().plan(Draws(0, "test", index=i), CLIPS, num_frames=20).label for i in range(600)]
    assert all(abs(labels.count(label) - 100) < 46 for label in range(6))


def test_pixels_stay_as_they_were_read():
    """The clips are read in the order of the plan already."""
    clips = torch.randint(0, 256, (3, 3, 2, 4, 4), dtype=torch.uint8)
    plan = VCOP().plan(Draws(0, "test"), CLIPS, num_frames=20, label_slot=5)
    assert VCOP().apply(clips, plan) is clips


def test_other_tuples_are_refused():
    """Two clips have 2 orders, four have 24: not these six classes."""
    with pytest.raises(ValueError, match=r"`tuple_len` is 4.*use 3"):
        VCOP.check(clip_len=16, size=112, tuple_len=4)
    VCOP.check(clip_len=15, size=111, tuple_len=3)
