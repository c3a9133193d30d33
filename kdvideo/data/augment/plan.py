"""SimCLR's augmentations: one draw per clip, for all its frames (Chen et al., arXiv 2002.05709, appendix A).

An `AugmentPlan` says what was drawn. Colours and blur are applied clip by clip in a worker (`augment_each`) or to a
whole batch on the training device (`augment_clips`). Crop and flip come earlier, where a video is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.augment.batched import augment_together
from kdvideo.data.augment.blur import blur_radius, gaussian_blur
from kdvideo.data.augment.color import apply_color, color_map
from kdvideo.data.batch import Sample
from kdvideo.data.draws import Draws
from kdvideo.data.resize import CENTER, Place

__all__ = [
    "AugmentConfig",
    "AugmentPlace",
    "AugmentPlan",
    "augment_clips",
    "augment_each",
    "center_crop_plan",
    "draw_augment",
    "stack_maps",
]

AugmentPlace = Literal["worker", "device"]  # where colours and blur are done
_JITTER_RANGE = 0.8  # brightness, contrast and saturation at strength 1
_HUE_RANGE = 0.2
_BLUR_SIGMA = (0.1, 2.0)


@dataclass(frozen=True)
class AugmentConfig:
    """What may be drawn: probabilities, and the strength of the colour jitter (SimCLR's s)."""

    flip_prob: float = 0.5
    color_prob: float = 0.8
    color_strength: float = 1.0
    grayscale_prob: float = 0.2
    blur_prob: float = 0.5


@dataclass(frozen=True)
class AugmentPlan:
    """The augmentation of one clip.

    Attributes:
        crop: where the crop lies.
        flip: whether left and right are exchanged.
        jitter: (operation, amount) in the order of application; empty without colour jitter.
        grayscale: whether the colours are removed.
        blur_sigma: the width of the blur in pixels; 0 leaves the clip sharp.
    """

    crop: Place
    flip: bool = False
    jitter: tuple[tuple[str, float], ...] = ()
    grayscale: bool = False
    blur_sigma: float = 0.0

    @property
    def keeps_colors(self) -> bool:
        """Whether the crop's pixels stay unchanged."""
        return not self.jitter and not self.grayscale and not self.blur_sigma


def draw_augment(draws: Draws, config: AugmentConfig) -> AugmentPlan:
    """Draws the augmentation of one clip."""
    return AugmentPlan(
        crop=(draws.uniform(), draws.uniform()),
        flip=draws.chance(config.flip_prob),
        jitter=_draw_jitter(draws, config.color_strength) if draws.chance(config.color_prob) else (),
        grayscale=draws.chance(config.grayscale_prob),
        blur_sigma=draws.uniform(*_BLUR_SIGMA) if draws.chance(config.blur_prob) else 0.0,
    )


def center_crop_plan() -> AugmentPlan:
    """Returns evaluation's plan: the centre crop and nothing else."""
    return AugmentPlan(crop=CENTER)


def stack_maps(augments: Sequence[AugmentPlan]) -> Sample:
    """Stacks N plans for `augment_clips`: `color` `[N, 3, 6]`, `blur_sigma` `[N]`."""
    return {
        "color": torch.stack([color_map(augment.jitter, grayscale=augment.grayscale) for augment in augments]),
        "blur_sigma": torch.tensor([augment.blur_sigma for augment in augments]),
    }


def augment_each(clips: Sequence[Tensor], augments: Sequence[AugmentPlan]) -> Tensor:
    """Augments N clips `[C, T, S, S]` one after the other.

    The result is that of `augment_clips`. On the CPU this is a third faster, since one clip fits into its cache.

    Returns:
        uint8 `[N, C, T, S, S]`.
    """
    maps = stack_maps(augments)
    colors, sigmas = maps["color"], maps["blur_sigma"]
    done = torch.empty((len(clips), *clips[0].shape), dtype=torch.uint8)
    for i, (clip, augment) in enumerate(zip(clips, augments, strict=True)):
        if augment.keeps_colors:
            done[i] = clip
        else:
            color = colors[i : i + 1]
            if augment.grayscale:
                color = color[:, :1]  # all channels are equal: computes one and writes it three times
            pixels = _augment_pixels(clip[None], color, sigmas[i : i + 1])
            # In one pass: PyTorch takes two, see below, or converts one number at a time.
            np.copyto(done[i : i + 1].numpy(), pixels.numpy(), casting="unsafe")
    return done


def augment_clips(clips: Tensor, color: Tensor, blur_sigma: Tensor) -> Tensor:
    """Changes the colours of clips and blurs them.

    A GPU does to all clips the same, so that nothing waits for it. A CPU leaves out what changes nothing.

    Args:
        clips: uint8 `[K, 3, T, S, S]`.
        color: `[K, 3, 6]`, each clip's map; see `kdvideo.data.augment.color`.
        blur_sigma: `[K]`, in pixels; 0 leaves a clip sharp.

    Returns:
        uint8, as `clips`.
    """
    if clips.device.type != "cpu":
        return augment_together(clips, color, blur_sigma)
    whole = _augment_pixels(clips, color, blur_sigma).to(torch.int16)  # converting straight to uint8 takes longer
    return whole.to(torch.uint8, memory_format=torch.contiguous_format)


def _augment_pixels(clips: Tensor, color: Tensor, blur_sigma: Tensor) -> Tensor:
    """Augments as `augment_clips` does, and adds one half.

    Cutting off the fraction then rounds.

    Returns:
        float32, as `clips`.
    """
    has_blur = blur_radius(clips.shape[-1]) > 0
    blurred = [i for i, sigma in enumerate(blur_sigma.tolist()) if has_blur and sigma > 0]
    pixels = clips.to(torch.float32, memory_format=torch.contiguous_format)
    pixels = apply_color(pixels, color, rows_first=len(blurred) == len(clips))
    if len(blurred) == len(clips):
        pixels = gaussian_blur(pixels, blur_sigma)
    elif blurred:
        pixels[blurred] = gaussian_blur(pixels[blurred], blur_sigma[blurred])
    return pixels.add_(0.5)


def _draw_jitter(draws: Draws, strength: float) -> tuple[tuple[str, float], ...]:
    spread = _JITTER_RANGE * strength
    operations = [
        (name, draws.uniform(max(0.0, 1 - spread), 1 + spread)) for name in ("brightness", "contrast", "saturation")
    ]
    hue = min(_HUE_RANGE * strength, 0.5)
    operations.append(("hue", draws.uniform(-hue, hue)))
    return tuple(operations[i] for i in draws.permutation(len(operations)))
