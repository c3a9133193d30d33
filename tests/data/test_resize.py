"""Resizing no more than a crop shows."""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from kdvideo.data.clip_spec import Resizing
from kdvideo.data.resize import crop_clip, find_cut

LAST = 0.9999
SIZES = [
    (240, 320),  # UCF101: periods of 15 and 32 pixels
    (320, 240),
    (256, 340),  # a half
    (240, 426),  # one period: nothing to leave out
    (250, 330),
    (480, 640),
    (128, 170),  # as large as wanted
    (100, 140),  # enlarged
    (30, 40),
]


@pytest.mark.parametrize("resize", ["short_side", "squash"])
@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_cut_equals_the_one_from_the_whole(height: int, width: int, kind: str, resize: str):
    """To the bit, wherever it lies: at the edges, where weights are others, and at every phase between."""
    generator = torch.Generator().manual_seed(height)
    noise = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
    frames = noise.permute(0, 3, 1, 2)
    wanted = [128, 128] if resize == "squash" else [128]
    whole = F.resize(frames, wanted, interpolation=InterpolationMode(kind), antialias=True)
    drawn = [tuple(pair) for pair in torch.rand(25, 2, generator=generator).tolist()]
    for place in [(0.0, 0.0), (LAST, LAST), (0.0, LAST), (0.5, 0.5), *drawn]:
        cut = find_cut(place, (height, width), short_side=128, size=112, resizing=Resizing(kind, resize))
        found = cut.of(frames[(..., *cut.window)])
        assert torch.equal(found.transpose(0, 1), crop_clip(whole, place, size=112))


def test_only_what_is_needed_is_resized():
    """Of 320 x 240 a crop in the corner takes 7 of 10 periods of columns and 15 of 16 of rows."""
    cut = find_cut((0.0, 0.0), (240, 320), short_side=128, size=112)
    assert cut.window == (slice(0, 15 * 15), slice(0, 7 * 32))
