"""Augmentation of clips: what is drawn for each, its colour and its blur."""

from kdvideo.data.augment.plan import (
    AugmentConfig,
    AugmentPlace,
    AugmentPlan,
    augment_clips,
    augment_each,
    center_crop_plan,
    draw_augment,
    stack_maps,
)

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
