"""VCP's plans: fair labels, and brute force over where a remote clip may lie."""

import dataclasses

import pytest
import torch
from vcp_cases import CHUNKS, CLIPS, CLIPS_AT_7, NUM_FRAMES, REMOTE, ROTATED, many_plans, operation

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import PretextPlan
from kdvideo.data.pretexts.vcp import VCP

# The upper 1e-6 quantiles of chi-square by degrees of freedom: the draws are fixed by their seeds, and a fair source
# fails for one choice of seed in a million, while a label that never comes adds the 400 times and more it is expected.
CHI_SQUARE_BOUND = {3: 30.7, 4: 33.4}


def test_plans_are_frozen():
    """A plan is a value: equal by its fields and not to be changed."""
    plan = operation(ROTATED, 1)
    assert plan == operation(ROTATED, 1)
    assert plan != operation(ROTATED, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.label = 0


def test_planning_is_reproducible_and_leaves_its_input():
    """The same draws give the same plan, and the list of clips stays what it was."""
    clips = list(CLIPS)
    plans = [VCP().plan(Draws(1, "pretext"), clips, num_frames=NUM_FRAMES) for _ in range(2)]
    assert plans[0] == plans[1]
    assert clips == CLIPS


def chi_square(values, cells):
    counts = {cell: values.count(cell) for cell in cells}
    assert sum(counts.values()) == len(values), "a value outside of the cells"
    expected = len(values) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts.values())


def test_all_five_labels_are_drawn_alike():
    """Where there is room for a remote clip, every label comes one time in five."""
    labels = [plan.label for plan in many_plans(2000)]
    assert chi_square(labels, range(5)) < CHI_SQUARE_BOUND[4]


def test_the_first_four_labels_are_drawn_alike_without_room():
    """Where there is no room for a remote clip, every other label comes one time in four."""
    labels = [plan.label for plan in many_plans(2000, CLIPS_AT_7, 28)]
    assert chi_square(labels, range(4)) < CHI_SQUARE_BOUND[3]


def test_arguments_are_those_of_the_label_and_all_of_them_come():
    """Rotations draw one of three, swaps one of six pairs."""
    plans = many_plans(2000)
    # 400 plans a label: one of six arguments is left out by chance with 6 (5/6)^400, 1e-31.
    assert {plan.argument for plan in plans if plan.label == ROTATED} == {0, 1, 2}
    assert {plan.argument for plan in plans if plan.label == CHUNKS} == set(range(6))


def test_every_drawn_plan_can_be_applied():
    """Whatever is planned, apply takes it and returns the same shape."""
    clips = torch.arange(3 * 4 * 2 * 2).view(3, 1, 4, 2, 2)
    for plan in many_plans(200):
        assert VCP().apply(clips, plan).shape == clips.shape


def test_only_remote_plans_move_a_clip():
    """With labels 0 to 3 the plan's clips are those given; with 4 all but the middle one are."""
    for plan in many_plans(300):
        assert isinstance(plan, PretextPlan)
        if plan.label == REMOTE:
            assert [plan.clips[0], plan.clips[2]] == [CLIPS[0], CLIPS[2]]
            assert plan.clips[1] != CLIPS[1]
        else:
            assert plan.clips == tuple(CLIPS)


def allowed_remotes(clips, num_frames):
    """All clips of the middle one's shape that keep a clip extent of free frames from the tuple, by trying each."""
    middle = clips[len(clips) // 2]
    extent = middle[-1] - middle[0] + 1
    used = [frame for clip in clips for frame in clip]
    allowed = set()
    for shift in range(-num_frames, num_frames + 1):
        remote = tuple(frame + shift for frame in middle)
        if min(remote) < 0 or max(remote) >= num_frames:
            continue
        free_before_tuple = range(max(remote) + 1, min(used))  # the frames between, if the remote clip comes first
        free_after_tuple = range(max(used) + 1, min(remote))
        if len(free_before_tuple) >= extent or len(free_after_tuple) >= extent:
            allowed.add(remote)
    return allowed


def clips_from(start, *, clip_len=4, stride=1, interval=1, tuple_len=3):
    extent = (clip_len - 1) * stride + 1
    starts = [start + i * (extent + interval) for i in range(tuple_len)]
    return [tuple(range(s, s + extent, stride)) for s in starts]


def test_the_brute_force_counts_what_a_hand_counts():
    """Clips of 4 in frames 7 to 20 of 31: none fits before, since 8 would be needed; after, 25 to 30 holds 3 starts."""
    assert allowed_remotes(CLIPS_AT_7, 31) == {(25, 26, 27, 28), (26, 27, 28, 29), (27, 28, 29, 30)}
    assert allowed_remotes(CLIPS_AT_7, 28) == set()
    assert allowed_remotes(clips_from(8), 22) == {(0, 1, 2, 3)}


REMOTE_CASES = {
    "both sides": (clips_from(11), 40),
    "one place before": (clips_from(8), 22),
    "one place after": (clips_from(0), 22),
    "one place on each side": (clips_from(8), 30),
    "not enough before": (clips_from(7), 31),
    "not enough after": (clips_from(10), 31),
    "strided": (clips_from(15, stride=2), 60),
    "no interval": (clips_from(9, interval=0), 32),
    "a single clip": (clips_from(10, tuple_len=1), 27),
    "five clips": (clips_from(10, tuple_len=5), 50),
}


@pytest.mark.parametrize(("clips", "num_frames"), REMOTE_CASES.values(), ids=REMOTE_CASES.keys())
def test_every_allowed_remote_clip_is_reached_and_no_other(clips, num_frames):
    """The remote clips of many draws are exactly those found by brute force."""
    allowed = allowed_remotes(clips, num_frames)
    assert 1 <= len(allowed) <= 20
    plans = many_plans(500, clips, num_frames, label_slot=REMOTE)
    assert {plan.label for plan in plans} == {REMOTE}
    # If sides are drawn first and then the place, a place comes one time in 40 at least: 20 * (39/40)^500 is 6e-5,
    # and the draws are fixed, so this passes for good or not at all.
    assert {plan.clips[len(clips) // 2] for plan in plans} == allowed


@pytest.mark.parametrize(
    ("clips", "num_frames"),
    [
        (clips_from(7), 28),  # 7 free frames on either side, one short
        (clips_from(0), 14),  # none at all
        (clips_from(13, stride=2), 23 + 13 + 13),  # extent 7: 13 free frames on either side, one short
        (clips_from(7, tuple_len=1), 18),
    ],
)
def test_without_room_nothing_is_remote(clips, num_frames):
    """One frame short on both sides leaves the labels 0 to 3 only, and with a slot they come in turn."""
    assert allowed_remotes(clips, num_frames) == set()
    assert {plan.label for plan in many_plans(200, clips, num_frames)} == {0, 1, 2, 3}
    labels = [
        VCP().plan(Draws(0, "pretext"), clips, num_frames=num_frames, label_slot=slot).label for slot in range(12)
    ]
    assert labels == [0, 1, 2, 3] * 3


def test_the_label_slot_decides_the_label():
    """With room for remote clips the label is the slot modulo five, whatever the draws."""
    for seed in range(10):
        labels = [
            VCP().plan(Draws(seed, "pretext"), CLIPS, num_frames=NUM_FRAMES, label_slot=slot).label
            for slot in range(15)
        ]
        assert labels == [0, 1, 2, 3, 4] * 3
