"""Rotations against pictures drawn by hand."""

import torch

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import PretextOperation
from kdvideo.data.pretexts.rotnet import RotNet

CLIPS = ((0, 1), (4, 5))
PICTURES = [  # counter-clockwise by 0, 90, 180, 270 degrees
    [[1, 2], [3, 4]],
    [[2, 4], [1, 3]],
    [[4, 3], [2, 1]],
    [[3, 1], [4, 2]],
]


def test_every_frame_of_every_clip_is_turned_by_the_label():
    """Clips, channels and frames differ by multiples of 10, so that none can be mistaken for another."""
    offsets = 10 * torch.arange(2 * 3 * 2).view(2, 3, 2, 1, 1)
    clips = offsets + torch.tensor(PICTURES[0])
    for label, picture in enumerate(PICTURES):
        turned = RotNet().apply(clips, PretextOperation(label=label, argument=0))
        assert torch.equal(turned, offsets + torch.tensor(picture))


def test_plans_leave_the_frames_and_draw_all_four_labels():
    """400 draws: each label 100 times, give or take 5 standard deviations of 8.7."""
    plans = [RotNet().plan(Draws(0, "test", index=i), CLIPS, num_frames=20) for i in range(400)]
    assert all(plan.clips == CLIPS for plan in plans)
    labels = [plan.label for plan in plans]
    assert RotNet.num_classes == 4
    assert all(abs(labels.count(label) - 100) < 44 for label in range(4))


def test_slots_take_the_labels_in_turn():
    """Four slots, four labels."""
    labels = [RotNet().plan(Draws(0, "t"), CLIPS, num_frames=9, label_slot=slot).label for slot in range(5)]
    assert labels == [0, 1, 2, 3, 0]
