"""VCP's operations against pictures drawn by hand."""

import pytest
import torch
from torch import Tensor
from vcp_cases import AS_IT_IS, CHUNKS, QUADRANTS, REMOTE, ROTATED, operation

from kdvideo.data.pretexts.vcp import VCP


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
    result = VCP().apply(clips.clone(), plan)
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
    assert torch.equal(apply_to_middle(middle, operation(AS_IT_IS)), middle)


@pytest.mark.parametrize(("argument", "degrees"), [(0, 90), (1, 180), (2, 270)])
def test_label_1_rotates_counter_clockwise(argument, degrees):
    """Every frame and channel of the middle clip is turned alike, by 90, 180 or 270 degrees."""
    middle = image_clip(PICTURE)
    expected = image_clip(COUNTER_CLOCKWISE[degrees])
    assert torch.equal(apply_to_middle(middle, operation(ROTATED, argument)), expected)


def test_label_1_keeps_the_frames_in_their_order():
    """Four frames of different numbers are each turned in their place."""
    picture = torch.tensor([[0, 1], [2, 3]])
    middle = torch.stack([picture + 10 * t for t in range(4)])[None]
    expected = torch.tensor([[[[1, 3], [0, 2]], [[11, 13], [10, 12]], [[21, 23], [20, 22]], [[31, 33], [30, 32]]]])
    assert torch.equal(apply_to_middle(middle, operation(ROTATED, 0)), expected)


def test_label_2_exchanges_opposite_quadrants():
    """Quadrants come in the order 3, 2, 1, 0, each upright as it was."""
    middle = image_clip(PICTURE)
    assert torch.equal(apply_to_middle(middle, operation(QUADRANTS)), image_clip(QUADRANTS_REVERSED))


def test_label_2_keeps_the_frames_in_their_order():
    """On frames of 2 x 2 pixels, a pixel a quadrant: both axes turned round within every frame."""
    picture = torch.tensor([[0, 1], [2, 3]])
    middle = torch.stack([picture + 10 * t for t in range(4)])[None]
    expected = torch.tensor([[[[3, 2], [1, 0]], [[13, 12], [11, 10]], [[23, 22], [21, 20]], [[33, 32], [31, 30]]]])
    assert torch.equal(apply_to_middle(middle, operation(QUADRANTS)), expected)


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
    assert torch.equal(apply_to_middle(middle, operation(CHUNKS, argument)), expected)


def test_label_4_leaves_the_pixels():
    """The remote clip was decoded in the place of the middle one, so nothing is left to do."""
    middle = image_clip(PICTURE)
    assert torch.equal(apply_to_middle(middle, operation(REMOTE)), middle)


@pytest.mark.parametrize("num_clips", [1, 3, 5])
@pytest.mark.parametrize(
    ("label", "argument", "expected"),
    [(ROTATED, 1, COUNTER_CLOCKWISE[180]), (QUADRANTS, 0, QUADRANTS_REVERSED)],
)
def test_the_middle_clip_is_the_one_that_changes(num_clips, label, argument, expected):
    """For tuples of one, three and five clips it is number N // 2, and the rest stays."""
    changed = apply_to_middle(image_clip(PICTURE), operation(label, argument), num_clips)
    assert torch.equal(changed, image_clip(expected))


@pytest.mark.parametrize(("label", "argument"), [(ROTATED, 0), (QUADRANTS, 0), (CHUNKS, 4), (REMOTE, 0), (AS_IT_IS, 0)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_apply_moves_pixels_of_any_type_and_keeps_all_of_them(label, argument, dtype):
    """Whatever the label, pixels are moved about and none is lost or made up; the type stays."""
    middle = torch.arange(4 * 4 * 4).view(1, 4, 4, 4).to(dtype)
    clips = torch.stack([middle, middle.flip(1), middle.flip(2)])
    result = VCP().apply(clips, operation(label, argument))
    assert isinstance(result, Tensor)
    assert result.dtype == dtype
    assert torch.equal(result[1].flatten().sort().values, middle.flatten())


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("clip_len", 6, "a multiple of 4"),
        ("clip_len", 2, "a multiple of 4"),
        ("clip_len", 15, "a multiple of 4"),
        ("size", 111, "an even number"),
        ("size", 1, "an even number"),
        ("tuple_len", 2, "an odd number"),
        ("tuple_len", 4, "an odd number"),
    ],
)
def test_check_refuses_what_cannot_be_cut(name: str, value: int, allowed: str):
    """Four chunks need a multiple of four frames, quadrants an even size, and a middle clip an odd tuple; one line."""
    with pytest.raises(ValueError, match=rf"\b{value}\b.*{allowed}") as error:
        VCP().check(**{"clip_len": 16, "size": 112, "tuple_len": 3, name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("clip_len", "size", "tuple_len"), [(16, 112, 3), (4, 2, 1), (8, 224, 5), (12, 114, 7)])
def test_check_lets_everything_else_pass(clip_len, size, tuple_len):
    """Multiples of four frames, even sizes and odd tuples are fine."""
    VCP().check(clip_len=clip_len, size=size, tuple_len=tuple_len)
