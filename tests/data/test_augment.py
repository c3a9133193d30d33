"""Draws of the augmentation, and what is done to the pixels."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms.v2 import functional as F

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlan,
    augment_clips,
    augment_each,
    draw_augment,
    stack_maps,
)
from kdvideo.data.draws import Draws
from kdvideo.data.resize import crop_clip


def drawn(count: int, config: AugmentConfig) -> list[AugmentPlan]:
    return [draw_augment(Draws(0, "sample", index=index), config) for index in range(count)]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_and_impossible_augmentations(probability):
    """With probability 1 everything is done to every clip, within SimCLR's ranges; with 0 only the crop is."""
    config = AugmentConfig(
        flip_prob=probability, color_prob=probability, grayscale_prob=probability, blur_prob=probability
    )
    certain = bool(probability)
    for augment in drawn(150, config):
        assert augment.flip is certain
        assert augment.grayscale is certain
        assert (augment.blur_sigma > 0) is certain
        assert bool(augment.jitter) is certain
        if certain:
            assert 0.1 <= augment.blur_sigma < 2.0
            amounts = dict(augment.jitter)
            assert sorted(amounts) == ["brightness", "contrast", "hue", "saturation"]
            assert -0.2 <= amounts.pop("hue") < 0.2
            assert all(0.2 <= amount < 1.8 for amount in amounts.values())


def test_augmentations_come_as_often_as_configured():
    """Among 3000 clips flips come half the time, jitter 0.8, grayscale 0.2 and blur 0.5 of it: SimCLR's defaults."""
    augments = drawn(3000, AugmentConfig())
    shares = {
        0.5: [sum(a.flip for a in augments), sum(a.blur_sigma > 0 for a in augments)],
        0.8: [sum(bool(a.jitter) for a in augments)],
        0.2: [sum(a.grayscale for a in augments)],
    }
    for probability, counts in shares.items():
        # Five standard deviations of a share of 3000, at most 0.0091 each; the nearest other default is 0.3 away.
        spread = 5 * (probability * (1 - probability) / 3000) ** 0.5
        assert all(abs(count / 3000 - probability) < spread for count in counts)


def random_clip(seed: int, *, size: int = 40) -> torch.Tensor:
    """uint8 `[3, T, S, S]`: noise over gradients, so that frames and channels have means of their own."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0, 120, size)[None, None, None, :] * torch.rand(3, 4, 1, 1, generator=generator)
    noise = 135 * torch.rand(3, 4, size, size, generator=generator)
    return (ramp + noise).to(torch.uint8)


def reference(clip: torch.Tensor, plan: AugmentPlan) -> np.ndarray:
    """The definition in float64, one operation after the other, clipped once before the blur; not rounded."""
    luma = np.array([0.299, 0.587, 0.114])
    frames = clip.numpy().astype(np.float64)
    for operation, amount in plan.jitter:
        gray = np.einsum("c,cthw->thw", luma, frames)
        if operation == "brightness":
            frames = amount * frames
        elif operation == "contrast":
            frames = amount * frames + (1 - amount) * gray.mean(axis=(1, 2))[:, None, None]
        elif operation == "saturation":
            frames = amount * frames + (1 - amount) * gray
        else:
            i = np.einsum("c,cthw->thw", [0.5959, -0.2746, -0.3213], frames)
            q = np.einsum("c,cthw->thw", [0.2115, -0.5227, 0.3112], frames)
            angle = np.arctan2(q, i) - 2 * np.pi * amount
            chroma = np.hypot(i, q)
            axes = np.linalg.inv([luma, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
            frames = np.einsum("cy,ythw->cthw", axes, [gray, chroma * np.cos(angle), chroma * np.sin(angle)])
    if plan.grayscale:
        frames = np.broadcast_to(np.einsum("c,cthw->thw", luma, frames), frames.shape)
    frames = frames.clip(0, 255)
    if plan.blur_sigma:
        radius = clip.shape[-1] // 10 // 2  # a kernel of a tenth of the picture, odd
        for axis in (2, 3):
            frames = ndimage.gaussian_filter1d(frames, plan.blur_sigma, axis=axis, mode="mirror", radius=radius)
    return frames


@pytest.mark.parametrize("size", [16, 32, 40, 112])
def test_pixels_equal_a_float64_reference(size: int):
    """30 drawn plans a size, jitter in every order: within rounding, half a step of 255, of the definition."""
    config = AugmentConfig(color_prob=0.9, grayscale_prob=0.3, blur_prob=0.6)
    plans = drawn(30, config)
    clips = [random_clip(seed, size=size) for seed in range(len(plans))]
    for clip, plan, found in zip(clips, plans, augment_each(clips, plans), strict=True):
        # float32 has 24 bits: of values up to some thousand, sums of 22 terms are exact to 1e-3.
        assert np.abs(found.numpy() - reference(clip, plan)).max() <= 0.5 + 2e-3


def test_a_plan_without_changes_changes_nothing():
    """The identity is exact, whatever else is in the batch."""
    plans = [AugmentPlan(crop=(0.5, 0.5)), AugmentPlan(crop=(0.5, 0.5), blur_sigma=1.5)]
    clips = torch.stack([random_clip(0), random_clip(1)])
    done = augment_clips(clips, **stack_maps(plans))
    assert torch.equal(done[0], clips[0])
    assert not torch.equal(done[1], clips[1])


def test_a_batch_equals_its_clips():
    """All at once, as on the training device, or one after the other, as in a worker."""
    plans = drawn(8, AugmentConfig())
    clips = [random_clip(seed, size=112) for seed in range(8)]
    difference = augment_clips(torch.stack(clips), **stack_maps(plans)).int() - augment_each(clips, plans).int()
    assert difference.abs().max() <= 1  # halves may be rounded either way
    assert (difference != 0).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("operation", "amount", "theirs", "bound"),
    [
        ("brightness", 0.6, F.adjust_brightness, 1),
        ("brightness", 1.5, F.adjust_brightness, 1),
        ("contrast", 0.6, F.adjust_contrast, 1),
        ("saturation", 0.4, F.adjust_saturation, 1),
        ("saturation", 1.4, F.adjust_saturation, 1),
    ],
)
def test_single_operations_equal_torchvision(operation: str, amount: float, theirs, bound: int):
    """Alone, an operation is torchvision's, which cuts to integers where we round and rounds its gray values."""
    clip = random_clip(0)
    found = augment_each([clip], [AugmentPlan(crop=(0, 0), jitter=((operation, amount),))])[0]
    expected = theirs(clip.transpose(0, 1), amount).transpose(0, 1)
    assert (found.int() - expected.int()).abs().max() <= bound


def test_blur_equals_torchvision():
    """The same kernel, the same mirrored edge."""
    clip = random_clip(0, size=112)
    found = augment_each([clip], [AugmentPlan(crop=(0, 0), blur_sigma=1.3)])[0]
    expected = F.gaussian_blur(clip.transpose(0, 1), [11, 11], [1.3, 1.3]).transpose(0, 1)
    assert (found.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("amount", [-0.2, -0.1, 0.1, 0.2])
def test_hue_turns_the_same_way_as_torchvision(amount: float):
    """A turn in the plane of two colour axes is not HSV's, but it goes the same way round."""
    clip = random_clip(0)
    expected = F.adjust_hue(clip.transpose(0, 1), amount).transpose(0, 1).float()
    distances = [
        (augment_each([clip], [AugmentPlan(crop=(0, 0), jitter=(("hue", turn),))])[0] - expected).abs().mean()
        for turn in (amount, -amount)
    ]
    # Measured: 0.33 to 0.42, on colours as strong as these.
    assert distances[0] < 0.5 * distances[1]


def test_crops_are_where_the_plan_says():
    """From the corners to the middle, turned left to right where it says so."""
    frames = torch.arange(2 * 3 * 6 * 8, dtype=torch.uint8).view(2, 3, 6, 8)
    channels_first = frames.transpose(0, 1)
    assert torch.equal(crop_clip(frames, (0.0, 0.0), size=4), channels_first[..., :4, :4])
    assert torch.equal(crop_clip(frames, (0.99, 0.99), size=4), channels_first[..., 2:, 4:])
    flipped = crop_clip(frames, (0.5, 0.5), size=4, flip=True)
    assert torch.equal(flipped, channels_first[..., 1:5, 2:6].flip(-1))


def test_a_clip_that_keeps_its_colors_is_left_alone():
    """Skipping the work gives what doing it gives: the identity, exactly."""
    plans = [AugmentPlan(crop=(0, 0)), AugmentPlan(crop=(0, 0), grayscale=True), AugmentPlan(crop=(0, 0))]
    assert [plan.keeps_colors for plan in plans] == [True, False, True]
    clips = [random_clip(seed) for seed in range(3)]
    assert torch.equal(augment_each(clips, plans), augment_clips(torch.stack(clips), **stack_maps(plans)))
