"""The input convention of a checkpoint of the library, from its preprocessor file."""

from collections.abc import Mapping
from typing import Any

from kdvideo.data.clip_spec import ClipSpec, Resize
from kdvideo.models.from_transformers.family import Family

__all__ = ["find_clip_spec"]

_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them
_SQUARING = ("ViT", "DeiT", "DINOv3")  # begin the names of processors that make a square of a size of one number
_BICUBIC = ("CLIP", "Siglip", "Bit")  # begin the names of processors whose files may leave bicubic out


def find_clip_spec(values: Mapping[str, Any], family: Family, config: Any) -> ClipSpec:
    """Returns the input convention that a preprocessor file describes.

    Args:
        values: the file's JSON. Mean and std have to be in it: the library's defaults are wrong for most checkpoints.
        family: the family of the network.
        config: the network's config, the library's object.

    Raises:
        ValueError: the file lacks mean and std, or describes pictures that clips cannot be.
    """
    size, short_side, resize = _sides(values, family, config)
    mean, std = _normalisation(values, family)
    found: dict[str, Any] = {
        "clip_len": family.clip_len(config),
        "frame_stride": family.frame_stride,
        "size": size,
        "mean": mean,
        "std": std,
        "modality": "rgb",
        "short_side": short_side,
        "interpolation": _interpolation(values),
        "sampling": family.sampling,
        "resize": resize,
    }
    try:
        return ClipSpec.from_dict(found)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its config and preprocessor file make no input convention: {error}") from None


def _sides(values: Mapping[str, Any], family: Family, config: Any) -> tuple[int, int, Resize]:
    """Returns the size of the crop and the short side before it, in pixels, and how frames are resized to it."""
    crops = values.get("do_center_crop", "crop_size" in values)
    size = _square(values.get("crop_size"), "crop_size") if crops else None
    resized = values.get("size")
    resize: Resize = "short_side"
    if isinstance(resized, Mapping) and "shortest_edge" in resized:
        resized = _square(resized["shortest_edge"], "shortest_edge")
    elif resized is not None:
        squeezes = isinstance(resized, Mapping) or _processor(values).startswith(_SQUARING)
        resized = _square(resized, "size")
        resize = "squash" if squeezes else "short_side"
    size = size or family.size(config)
    if family.short_side is not None:
        return size, family.short_side(size), "short_side"
    return size, max(resized or size, size), resize


def _square(value: Any, key: str) -> int | None:
    if isinstance(value, Mapping):
        height, width = value.get("height"), value.get("width")
        if height != width:
            raise ValueError(f"{key} is {height} x {width}: kdvideo's clips are square")
        value = height
    if value is not None and type(value) is not int:
        raise ValueError(f"{key} is {value!r}; it must be a number of pixels, or height and width")
    return value


def _normalisation(values: Mapping[str, Any], family: Family) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and std of pixels in [0, 1]. The library's pixels are `p * factor`, less 1 with an offset."""
    factor = values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1
    if not isinstance(factor, int | float) or factor <= 0:
        raise ValueError(f"its preprocessor file has rescale_factor {factor!r}; it must be a number above 0")
    top = 255 * float(factor)
    low = 1.0 if family.offset and values.get("offset", True) else 0.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    if values.get("do_normalize", True):
        mean, std = (_channels(values.get(key), key) for key in ("image_mean", "image_std"))
    return tuple((value + low) / top for value in mean), tuple(value / top for value in std)


def _channels(value: Any, key: str) -> tuple[float, ...]:
    numbers = [value] * 3 if isinstance(value, int | float) else value
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(isinstance(one, int | float) for one in numbers):
        raise ValueError(f"its preprocessor file has {key} {value!r}; it must be three numbers, which nobody can guess")
    return tuple(map(float, numbers))


def _interpolation(values: Mapping[str, Any]) -> str:
    number = values.get("resample", 3 if _processor(values).startswith(_BICUBIC) else 2)
    if not isinstance(number, int) or number not in _INTERPOLATIONS:
        raise ValueError(f"its preprocessor file has resample {number!r}; it must be 2 (bilinear) or 3 (bicubic)")
    return _INTERPOLATIONS[number]


def _processor(values: Mapping[str, Any]) -> str:
    """Returns the name of the class that wrote a preprocessor file. "" if it does not say."""
    return str(values.get("image_processor_type", values.get("feature_extractor_type", "")))
