"""A network's input convention, and how decoded frames become its input."""

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kdvideo.data.transform import ClipTransform

__all__ = [
    "EVEN_MIDDLE",
    "USUAL_RESIZING",
    "ClipSpec",
    "Interpolation",
    "Resize",
    "Resizing",
    "Rounding",
    "Sampling",
    "normalise_clips",
    "prepare_clips",
]

Modality = Literal["rgb", "residual"]
Interpolation = Literal["bilinear", "bicubic"]
Sampling = Literal["stride", "uniform"]
Resize = Literal["short_side", "squash"]
Rounding = Literal["down", "even"]
_CHOICES = {
    "modality": Modality,
    "interpolation": Interpolation,
    "sampling": Sampling,
    "resize": Resize,
    "rounding": Rounding,
}
# Not written at their defaults, as before they came.
_LATER = ("short_side", "interpolation", "sampling", "resize", "rounding")
EVEN_MIDDLE = math.nextafter(0.5, 1.0)  # the place of a centre crop whose half pixel is rounded to an even number
_MOST = 1 << 16  # frames or pixels; a larger number is a mistake or an attack on memory


class Resizing(NamedTuple):
    """How frames are resized before the crop.

    Attributes:
        interpolation: the kernel, "bilinear" or "bicubic", both with antialiasing.
        kind: "short_side" keeps the proportions, "squash" makes a square of the whole frame.
    """

    interpolation: Interpolation = "bilinear"
    kind: Resize = "short_side"

    def shape(self, frame: tuple[int, int], short_side: int) -> tuple[int, int]:
        """Returns height and width of a resized frame.

        Args:
            frame: its height and width before.
            short_side: pixels of its shorter side afterwards.
        """
        if self.kind == "squash":
            return short_side, short_side
        height, width = (short_side * side // min(frame) for side in frame)
        return height, width


USUAL_RESIZING = Resizing()


@dataclass(frozen=True)
class ClipSpec:
    """A network's input convention.

    It is part of a model's zoo entry, since weights alone do not tell it.

    Attributes:
        clip_len: frames in a clip.
        frame_stride: video frames from one frame of the clip to the next.
        size: height and width in pixels.
        mean: mean of each colour channel, of values in [0, 1].
        std: standard deviation of each colour channel, of values in [0, 1].
        modality: "rgb", or "residual": differences of neighbouring frames (Tao et al., arXiv 2010.15464, section 3.3).
        short_side: pixels of a frame's shorter side before the crop. None for `usual_short_side`, or for what the
            config says.
        interpolation: how frames are resized: "bilinear" or "bicubic", both with antialiasing.
        sampling: "stride" takes every `frame_stride`-th frame. "uniform" spreads the frames over the whole video, or
            over the span that a clip is given: the middles of `clip_len` equal segments.
        resize: "short_side" keeps a frame's proportions. "squash" squeezes the whole frame into a square, both of whose
            sides then have the pixels of the short side.
        rounding: where a centre crop lies if half a pixel is left over beside it, of frames with a `short_side`. "down"
            as the transformers library has it, "even" as torchvision and timm.
    """

    clip_len: int = 16
    frame_stride: int = 1
    size: int = 112
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    modality: Modality = "residual"
    short_side: int | None = None
    interpolation: Interpolation = "bilinear"
    sampling: Sampling = "stride"
    resize: Resize = "short_side"
    rounding: Rounding = "down"

    @property
    def extent(self) -> int:
        """How many video frames a clip spans."""
        return (self.clip_len - 1) * self.frame_stride + 1

    @property
    def usual_short_side(self) -> int:
        """A frame's shorter side before the crop.

        It has the margin of published recipes: 128 pixels for a crop of 112.
        """
        return round(self.size * 8 / 7)

    @property
    def own_short_side(self) -> int:
        """Returns a frame's shorter side before the crop, where no config says it."""
        return self.usual_short_side if self.short_side is None else self.short_side

    @property
    def center(self) -> float:
        """Returns where a centre crop lies, from 0 to 1.

        Half a pixel is rounded up, as ever. With a `short_side` it is rounded as `rounding` says.
        """
        if self.short_side is None:
            return 0.5
        return EVEN_MIDDLE if self.rounding == "even" else math.nextafter(0.5, 0.0)

    @property
    def resizing(self) -> Resizing:
        """Returns how frames are resized before the crop."""
        return Resizing(self.interpolation, self.resize)

    @property
    def convention(self) -> dict[str, Any]:
        """How pixels are normalised: modality, mean, std."""
        return {"modality": self.modality, "mean": self.mean, "std": self.std}

    def transform(self) -> "ClipTransform":
        """Returns the function from frames of any size to a network's input, as `kdvideo embed` computes it.

        Example:
            >>> frames = torch.zeros(16, 240, 320, 3, dtype=torch.uint8)  # [T, H, W, C], or [T, C, H, W]
            >>> ClipSpec(clip_len=16, size=112).transform()(frames).shape
            torch.Size([3, 16, 112, 112])
        """
        from kdvideo.data.transform import ClipTransform  # it imports this module

        return ClipTransform(self)

    def describe_convention(self) -> str:
        """Returns modality, mean and std in words."""
        return f"{self.modality} clips, mean {list(self.mean)}, std {list(self.std)}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types. Those that former versions did not have are left out at their defaults."""
        values = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        usual = {field.name: field.default for field in fields(self) if field.name in _LATER}
        return {key: value for key, value in values.items() if key not in usual or value != usual[key]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Builds a spec from what `to_dict` returns.

        Raises:
            ValueError: a value is not allowed.
            TypeError: a key is unknown.
            KeyError: mean or std is missing.
        """
        spec = cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        for key in ("clip_len", "frame_stride", "size"):
            value = getattr(spec, key)
            if type(value) is not int or not 0 < value <= _MOST:
                raise ValueError(f"{key} is {value!r}; it must be a whole number from 1 to {_MOST}")
        for key in ("mean", "std"):
            channels = getattr(spec, key)
            if len(channels) != 3 or not all(_is_finite(value) for value in channels) or 0 in spec.std:
                raise ValueError(f"{key} is {channels!r}; it must be three finite numbers, those of std not 0")
        side = spec.short_side
        if side is not None and (type(side) is not int or not spec.size <= side <= _MOST):
            raise ValueError(f"short_side is {side!r}; it must be a whole number from size, {spec.size}, to {_MOST}")
        for key, choices in _CHOICES.items():
            if (value := getattr(spec, key)) not in get_args(choices):
                raise ValueError(f"{key} is {value!r}; it must be {' or '.join(get_args(choices))}")
        return spec


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def prepare_clips(clips: Tensor, spec: ClipSpec) -> Tensor:
    """Turns decoded clips into a network's input.

    Pixels are scaled to [0, 1] and normalised; if the spec's modality is "residual", frames become differences. Number
    and size of the frames stay as they are, since most networks take others than the spec's. `ClipSpec.transform` also
    resizes and crops, and takes frames of the spec's number only.

    Args:
        clips: uint8 `[..., C, T, H, W]`, RGB.
        spec: the network's input convention.

    Returns:
        float32 of the same shape. A residual frame is `x[t - 1] - x[t]`, the first one `x[T - 1] - x[0]`.

    Raises:
        ValueError: the clips are no whole numbers, or have another layout.
    """
    if clips.is_floating_point() or clips.dim() < 4 or clips.shape[-4] != 3:
        raise ValueError(
            f"clips are {str(clips.dtype).removeprefix('torch.')} {list(clips.shape)}; they must be uint8 "
            "[.., 3, T, H, W], from 0 to 255: frames of other layouts and sizes go through ClipSpec.transform()"
        )
    mean, std = (_per_channel(values, clips.device) for values in (spec.mean, spec.std))
    return normalise_clips(clips, mean=mean, std=std, modality=spec.modality)


def normalise_clips(clips: Tensor, *, mean: Tensor, std: Tensor, modality: Modality) -> Tensor:
    """Computes the result of `prepare_clips` with constants that are on the device of the clips.

    Args:
        clips: uint8 `[..., C, T, H, W]`, RGB.
        mean: mean of each colour channel, `[3, 1, 1, 1]`.
        std: standard deviation of each colour channel, `[3, 1, 1, 1]`.
        modality: "rgb" or "residual".
    """
    normalised = (clips.float() / 255 - mean) / std
    if modality == "rgb":
        return normalised
    return normalised.roll(1, dims=-3) - normalised


def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """Returns `[3, 1, 1, 1]`. The values are filled in on the device, because a copy to it would wait for it."""
    return torch.stack([torch.full((1, 1, 1), value, device=device) for value in values])
