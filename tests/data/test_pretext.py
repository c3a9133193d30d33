"""The pretext task against pictures drawn by hand and against brute force over where a remote clip may lie."""

import dataclasses

import pytest
import torch
from torch import Tensor

from kdvideo.data.draws import Draws
from kdvideo.data.pretext import PretextPlan
from kdvideo.data.vcp import VCP

# The upper 1e-6 quantiles of chi-square by degrees of freedom: the draws are fixed by their seeds, and a fair source
# fails for one choice of seed in a million, while a label that never comes adds the 400 times and more it is expected.
CHI_SQUARE_BOUND = {3: 30.7, 4: 33.4}

CLIPS = [(20, 21, 22, 23), (25, 26, 27, 28), (30, 31, 32, 33)]  # extent 4, frames 20 to 33
NUM_FRAMES = 60

# Extent 4, frames 7 to 20: one frame short of room before; in a video of 28 frames one short after, since 8 are needed.
CLIPS_AT_7 = [(7, 8, 9, 10), (12, 13, 14, 15), (17, 18, 19, 20)]

AS_IT_IS, ROTATED, QUADRANTS, CHUNKS, REMOTE = range(5)


def plan_of(label, argument=0, clips=CLIPS):
    return PretextPlan(label=label, argument=argument, clips=tuple(clips))


def many_plans(count, clips=CLIPS, num_frames=NUM_FRAMES, **options):
    task = VCP()
    return [
        task.plan(Draws(0, "pretext", index=index), clips, num_frames=num_frames, **options) for index in range(count)
    ]


def around(middle, num_clips):
    """A tuple of clips [N, ...] with `middle` in the middle and other numbers elsewhere."""
    clips = [middle + 100 * (i + 1) for i in range(num_clips)]
    clips[num_clips // 2] = middle
    return torch.stack(clips)


def image_clip(rows, frames=4, channels=3):
    """A clip [C, T, H, W] that shows one picture throughout."""
    return torch.tensor(rows)[None, None].expand(channels, frames, -1, -1).contiguous()


def apply_to_middle(middle, plan, num_clips=3):
    """Applies a plan to a tuple and returns its middle clip, with the other clips checked for being as before."""
    clips = around(middle, num_clips)
    kept = clips.clone()
    result = VCP().apply(clips, plan)
    assert torch.equal(clips, kept), "the input was changed in place"
    assert result.shape == clips.shape
    assert result.dtype == clips.dtype
    others = [i for i in range(num_clips) if i != num_clips // 2]
    assert torch.equal(result[others], clips[others])
    return result[num_clips // 2]


PICTURE = [
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9, 10, 11],
    [12, 13, 14, 15],
]
COUNTER_CLOCKWISE = {
    90: [
        [3, 7, 11, 15],
        [2, 6, 10, 14],
        [1, 5, 9, 13],
        [0, 4, 8, 12],
    ],
    180: [
        [15, 14, 13, 12],
        [11, 10, 9, 8],
        [7, 6, 5, 4],
        [3, 2, 1, 0],
    ],
    270: [
        [12, 8, 4, 0],
        [13, 9, 5, 1],
        [14, 10, 6, 2],
        [15, 11, 7, 3],
    ],
}
QUADRANTS_REVERSED = [
    [10, 11, 8, 9],
    [14, 15, 12, 13],
    [2, 3, 0, 1],
    [6, 7, 4, 5],
]


def test_there_are_five_labels():
    """The task is a choice of five."""
    assert VCP().num_classes == 5


def test_label_0_changes_nothing():
    """The clip as it is."""
    middle = image_clip(PICTURE)
    assert torch.equal(apply_to_middle(middle, plan_of(AS_IT_IS)), middle)


@pytest.mark.parametrize(("argument", "degrees"), [(0, 90), (1, 180), (2, 270)])
def test_label_1_rotates_counter_clockwise(argument, degrees):
    """Every frame and channel of the middle clip is turned alike, by 90, 180 or 270 degrees."""
    middle = image_clip(PICTURE)
    expected = image_clip(COUNTER_CLOCKWISE[degrees])
    assert torch.equal(apply_to_middle(middle, plan_of(ROTATED, argument)), expected)


def test_label_1_keeps_the_frames_in_their_order():
    """Four frames of different numbers are each turned in their place."""
    picture = torch.tensor([[0, 1], [2, 3]])
    middle = torch.stack([picture + 10 * t for t in range(4)])[None]
    expected = torch.tensor([[[[1, 3], [0, 2]], [[11, 13], [10, 12]], [[21, 23], [20, 22]], [[31, 33], [30, 32]]]])
    assert torch.equal(apply_to_middle(middle, plan_of(ROTATED, 0)), expected)


def test_label_2_exchanges_opposite_quadrants():
    """Quadrants come in the order 3, 2, 1, 0, each upright as it was."""
    middle = image_clip(PICTURE)
    assert torch.equal(apply_to_middle(middle, plan_of(QUADRANTS)), image_clip(QUADRANTS_REVERSED))


def test_label_2_keeps_the_frames_in_their_order():
    """On frames of 2 x 2 pixels, a pixel a quadrant: both axes turned round within every frame."""
    picture = torch.tensor([[0, 1], [2, 3]])
    middle = torch.stack([picture + 10 * t for t in range(4)])[None]
    expected = torch.tensor([[[[3, 2], [1, 0]], [[13, 12], [11, 10]], [[23, 22], [21, 20]], [[33, 32], [31, 30]]]])
    assert torch.equal(apply_to_middle(middle, plan_of(QUADRANTS)), expected)


@pytest.mark.parametrize(
    ("argument", "frames"),
    [
        (0, [2, 3, 0, 1, 4, 5, 6, 7]),
        (1, [4, 5, 2, 3, 0, 1, 6, 7]),
        (2, [6, 7, 2, 3, 4, 5, 0, 1]),
        (3, [0, 1, 4, 5, 2, 3, 6, 7]),
        (4, [0, 1, 6, 7, 4, 5, 2, 3]),
        (5, [0, 1, 2, 3, 6, 7, 4, 5]),
    ],
)
def test_label_3_swaps_two_of_four_chunks(argument, frames):
    """Eight frames in chunks of two: each argument swaps its pair and keeps the order within the chunks."""
    pictures = torch.arange(4).view(2, 2)
    middle = torch.stack([pictures + 10 * t for t in range(8)])[None].repeat(3, 1, 1, 1)
    expected = torch.stack([pictures + 10 * t for t in frames])[None].repeat(3, 1, 1, 1)
    assert torch.equal(apply_to_middle(middle, plan_of(CHUNKS, argument)), expected)


def test_label_4_leaves_the_pixels():
    """The remote clip was decoded in the place of the middle one, so nothing is left to do."""
    middle = image_clip(PICTURE)
    assert torch.equal(apply_to_middle(middle, plan_of(REMOTE)), middle)


@pytest.mark.parametrize("num_clips", [1, 3, 5])
@pytest.mark.parametrize(
    ("label", "argument", "expected"),
    [(ROTATED, 1, COUNTER_CLOCKWISE[180]), (QUADRANTS, 0, QUADRANTS_REVERSED)],
)
def test_the_middle_clip_is_the_one_that_changes(num_clips, label, argument, expected):
    """For tuples of one, three and five clips it is number N // 2, and the rest stays."""
    changed = apply_to_middle(image_clip(PICTURE), plan_of(label, argument), num_clips)
    assert torch.equal(changed, image_clip(expected))


@pytest.mark.parametrize(("label", "argument"), [(ROTATED, 0), (QUADRANTS, 0), (CHUNKS, 4), (REMOTE, 0), (AS_IT_IS, 0)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_apply_moves_pixels_of_any_type_and_keeps_all_of_them(label, argument, dtype):
    """Whatever the label, pixels are moved about and none is lost or made up; the type stays."""
    middle = torch.arange(4 * 4 * 4).view(1, 4, 4, 4).to(dtype)
    clips = torch.stack([middle, middle.flip(1), middle.flip(2)])
    result = VCP().apply(clips, plan_of(label, argument))
    assert isinstance(result, Tensor)
    assert result.dtype == dtype
    assert torch.equal(result[1].flatten().sort().values, middle.flatten())


@pytest.mark.parametrize(
    "fault",
    [
        {"clip_len": 6},
        {"clip_len": 2},
        {"clip_len": 15},
        {"size": 111},
        {"size": 1},
        {"tuple_len": 2},
        {"tuple_len": 4},
    ],
)
def test_check_refuses_what_cannot_be_cut(fault):
    """Four chunks need a multiple of four frames, quadrants an even size, and a middle clip an odd tuple; one line."""
    with pytest.raises(ValueError, match=r"\S") as error:
        VCP().check(**{"clip_len": 16, "size": 112, "tuple_len": 3, **fault})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("clip_len", "size", "tuple_len"), [(16, 112, 3), (4, 2, 1), (8, 224, 5), (12, 114, 7)])
def test_check_lets_everything_else_pass(clip_len, size, tuple_len):
    """Multiples of four frames, even sizes and odd tuples are fine."""
    VCP().check(clip_len=clip_len, size=size, tuple_len=tuple_len)


def test_plans_are_frozen():
    """A plan is a value: equal by its fields and not to be changed."""
    plan = plan_of(ROTATED, 1)
    assert plan == plan_of(ROTATED, 1)
    assert plan != plan_of(ROTATED, 2)
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
