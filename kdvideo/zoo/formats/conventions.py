"""Input conventions by name: what published weights were trained on, which their keys cannot tell."""

from collections.abc import Callable
from typing import Any, get_args

import yaml

from kdvideo.data.clip_spec import ClipSpec, Interpolation, Resize, Rounding, Sampling
from kdvideo.data.normalisation import IMAGENET, KINETICS
from kdvideo.models import from_pytorchvideo, from_torchvision
from kdvideo.registry import unknown_name

__all__ = ["CLIP_SPECS", "parse_clip_spec"]

CLIP_SPECS: dict[str, ClipSpec] = {
    "kdvideo-residual": ClipSpec(),
    "kdvideo-rgb": ClipSpec(modality="rgb"),
    "pcl-residual": ClipSpec(**IMAGENET, modality="residual"),  # train_vcp_contrast.py --modality res, the default
    "pcl-rgb": ClipSpec(**IMAGENET, modality="rgb"),
    # ft_classify.py forgets to normalise
    "pcl-residual-finetuned": ClipSpec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), modality="residual"),
    "rspnet": ClipSpec(**IMAGENET, modality="rgb"),
    "torchvision": ClipSpec(**KINETICS, frame_stride=2, modality="rgb"),  # 15 of Kinetics' 30 frames a second
    "ig65m-8": ClipSpec(**KINETICS, clip_len=8, modality="rgb"),
    "ig65m-32": ClipSpec(**KINETICS, clip_len=32, modality="rgb"),
    # [104, 117, 128] and 1 of values up to 255
    "mmaction2-c3d": ClipSpec(mean=(104 / 255, 117 / 255, 128 / 255), std=(1 / 255, 1 / 255, 1 / 255), modality="rgb"),
    "mmaction2-8x8": ClipSpec(**IMAGENET, clip_len=8, frame_stride=8, size=224, modality="rgb"),
    "mmaction2-32x2": ClipSpec(**IMAGENET, clip_len=32, frame_stride=2, size=224, modality="rgb"),
    "videomae-16x4": ClipSpec(**IMAGENET, frame_stride=4, size=224, modality="rgb"),  # of Kinetics
    "hara": ClipSpec(mean=(0.4345, 0.4051, 0.3775), std=(0.2768, 0.2713, 0.2737), modality="rgb"),
    "pytorchvideo-slow_r50_4x16": ClipSpec(clip_len=4, frame_stride=16, size=224, modality="rgb"),
    **{f"pytorchvideo-{name}": spec for name, spec in from_pytorchvideo.NATIVE_CLIP_SPECS.items()},
    **{f"torchvision-{name}": spec for name, spec in from_torchvision.NATIVE_CLIP_SPECS.items()},
}
_REQUIRED = ("mean", "std", "modality")


def parse_clip_spec(text: str) -> ClipSpec:
    """Parses an input convention that is named or written out.

    Args:
        text: a name of CLIP_SPECS, or a yaml mapping with `mean`, `std` and `modality`. `clip_len`, `frame_stride`
            and `size` default to 16, 1 and 112, the rest to `ClipSpec`'s defaults.

    Raises:
        ValueError: it is neither.
    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = text
    if not isinstance(values, dict):
        if text not in CLIP_SPECS:
            raise unknown_name("input convention", text, CLIP_SPECS)
        return CLIP_SPECS[text]
    wrong = [
        *(f"unknown {key}" for key in values if key not in _KNOWN),
        *(f"missing {key}" for key in _REQUIRED if key not in values),
        *(f"{key} {value!r}" for key, value in values.items() if key in _KNOWN and not _KNOWN[key](value)),
    ]
    if wrong:
        raise ValueError(
            f"input convention {text!r}: {', '.join(wrong)}; give mean and std of three channels in [0, 1] and "
            "modality rgb or residual; clip_len, frame_stride and size where they are not 16, 1 and 112; short_side, "
            "interpolation (bilinear or bicubic), sampling (stride or uniform), resize (short_side or squash) and "
            "rounding (down or even) where they are others"
        )
    return ClipSpec.from_dict(values)


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(item, int | float) for item in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


_KNOWN: dict[str, Callable[[Any], bool]] = {
    "mean": _is_colour,
    "std": lambda value: _is_colour(value) and min(value) > 0,
    "modality": ("rgb", "residual").__contains__,
    "clip_len": _is_count,
    "frame_stride": _is_count,
    "size": _is_count,
    "short_side": _is_count,
    "interpolation": get_args(Interpolation).__contains__,
    "sampling": get_args(Sampling).__contains__,
    "resize": get_args(Resize).__contains__,
    "rounding": get_args(Rounding).__contains__,
}
