"""SimCLR's augmentations: one draw a clip, all its frames alike (Chen et al., arXiv 2002.05709, appendix A)."""

from dataclasses import dataclass

from torch import Tensor
from torchvision.transforms.v2 import functional as F

from kdvideo.data.draws import Draws

__all__ = ["AugmentConfig", "AugmentPlan", "apply_augment", "center_crop_plan", "draw_augment"]

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
    """What is done to one clip.

    Attributes:
        crop: where the crop lies between top and bottom and between left and right, both in [0, 1).
        flip: whether left and right are exchanged.
        jitter: (operation, amount) in the order of application; empty without colour jitter.
        grayscale: whether the colours go.
        blur_sigma: pixels, or None.
    """

    crop: tuple[float, float]
    flip: bool = False
    jitter: tuple[tuple[str, float], ...] = ()
    grayscale: bool = False
    blur_sigma: float | None = None


def draw_augment(draws: Draws, config: AugmentConfig) -> AugmentPlan:
    """Draws the augmentation of one clip."""
    return AugmentPlan(
        crop=(draws.uniform(), draws.uniform()),
        flip=draws.chance(config.flip_prob),
        jitter=_draw_jitter(draws, config.color_strength) if draws.chance(config.color_prob) else (),
        grayscale=draws.chance(config.grayscale_prob),
        blur_sigma=draws.uniform(*_BLUR_SIGMA) if draws.chance(config.blur_prob) else None,
    )


def center_crop_plan() -> AugmentPlan:
    """Evaluation: the crop in the middle and nothing else."""
    return AugmentPlan(crop=(0.5, 0.5))


def apply_augment(clip: Tensor, plan: AugmentPlan, *, size: int) -> Tensor:
    """Crops and changes one clip.

    Args:
        clip: uint8 `[T, C, H, W]`, H and W at least `size`.
        plan: what to do.
        size: height and width of the crop.

    Returns:
        uint8 `[T, C, size, size]`.
    """
    height, width = clip.shape[-2:]
    top, left = (int(place * (room - size + 1)) for place, room in zip(plan.crop, (height, width), strict=True))
    clip = clip[..., top : top + size, left : left + size]
    if plan.flip:
        clip = F.horizontal_flip(clip)
    for operation, amount in plan.jitter:
        clip = getattr(F, f"adjust_{operation}")(clip, amount)
    if plan.grayscale:
        clip = F.rgb_to_grayscale(clip, num_output_channels=3)
    if plan.blur_sigma is not None:
        kernel_size = size // 10 // 2 * 2 + 1  # SimCLR: a tenth of the image, odd
        clip = F.gaussian_blur(clip, [kernel_size] * 2, [plan.blur_sigma] * 2)
    return clip


def _draw_jitter(draws: Draws, strength: float) -> tuple[tuple[str, float], ...]:
    spread = _JITTER_RANGE * strength
    operations = [
        (name, draws.uniform(max(0.0, 1 - spread), 1 + spread)) for name in ("brightness", "contrast", "saturation")
    ]
    hue = min(_HUE_RANGE * strength, 0.5)
    operations.append(("hue", draws.uniform(-hue, hue)))
    return tuple(operations[i] for i in draws.permutation(len(operations)))
