"""Backbones that see a clip frame by frame, through an image network."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone

__all__ = ["USUAL_FRAMES", "FramesBackbone", "TimePooling", "as_pair", "map_of_tokens"]

TimePooling = Literal["mean", "first", "max"]
# Image networks are mostly trained on ImageNet's colours at 224 pixels. 8 frames of every second span 15 frames.
USUAL_FRAMES = ClipSpec(
    clip_len=8, frame_stride=2, size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), modality="rgb"
)


class FramesBackbone(Backbone):
    """A backbone that applies an image network to each frame. A clip's feature is pooled over its frames.

    A derived class may say by `see_features` and `see_map` what an image's feature and map are.

    Args:
        image_net: the image network, `[N, C, H, W]` -> map `[N, D, h, w]`, or features `[N, D]`.
        clip_spec: the input convention. None for 8 frames of 224 x 224 with ImageNet's mean and std.
        pooling: how features of frames become one: "mean", the "first" frame's, or "max" of each number.
        num_features: D. None if a frame of zeros shall be tried.

    Raises:
        ValueError: the pooling is not known.

    Example:
        >>> import torch
        >>> net = FramesBackbone(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU()))
        >>> net(torch.randn(2, 3, 4, 32, 32)).shape
        torch.Size([2, 8])
        >>> net.forward_features(torch.randn(2, 3, 4, 32, 32)).shape
        torch.Size([2, 8, 4, 15, 15])
    """

    def __init__(
        self,
        image_net: nn.Module,
        *,
        clip_spec: ClipSpec | None = None,
        pooling: TimePooling = "mean",
        num_features: int | None = None,
    ) -> None:
        if pooling not in (known := get_args(TimePooling)):
            raise ValueError(f"pooling over time is {pooling!r}; it must be one of {', '.join(known)}")
        clip_spec = clip_spec or USUAL_FRAMES
        super().__init__(num_features=num_features or _count_features(image_net, clip_spec), clip_spec=clip_spec)
        self.image_net = image_net
        self.pooling: TimePooling = pooling

    def see_map(self, frames: Tensor) -> Tensor:
        """Computes the maps of frames. `[N, C, H, W]` -> `[N, D, h, w]`, or `[N, D]` of a network without a map."""
        return self.image_net(frames)

    def see_features(self, frames: Tensor) -> Tensor:
        """Computes the features of frames, the mean of their maps. `[N, C, H, W]` -> `[N, D]`."""
        seen = self.see_map(frames)
        return seen.mean(dim=(2, 3)) if seen.dim() == 4 else seen

    def forward(self, clip: Tensor) -> Tensor:
        """Computes the features. `[B, C, T, H, W]` -> `[B, D]`."""
        features = self.see_features(_as_frames(clip)).unflatten(0, (clip.shape[0], clip.shape[2]))
        if self.pooling == "first":
            return features[:, 0]
        return features.amax(dim=1) if self.pooling == "max" else features.mean(dim=1)

    def extra_repr(self) -> str:
        """Returns the pooling where it is not the mean: what describes a network must tell them apart."""
        return "" if self.pooling == "mean" else f"pooling={self.pooling}"

    def forward_features(self, clip: Tensor) -> Tensor:
        """Computes the maps of all frames. `[B, C, T, H, W]` -> `[B, D, T, h, w]`."""
        seen = self.see_map(_as_frames(clip))
        seen = seen[:, :, None, None] if seen.dim() == 2 else seen
        return seen.unflatten(0, (clip.shape[0], clip.shape[2])).transpose(1, 2)


def _as_frames(clip: Tensor) -> Tensor:
    """Returns the frames `[B * T, C, H, W]`. Of a clip whose channels are innermost, no pixel is copied."""
    return clip.transpose(1, 2).flatten(0, 1)


def as_pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Returns height and width of a side that other libraries give as one number or as two."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width


def map_of_tokens(tokens: Tensor, patch: tuple[int, int] = (1, 1)) -> Tensor:
    """Puts the tokens of a square picture where they are in it, row by row. `[N, h * w, D]` -> `[N, D, h, w]`.

    Args:
        tokens: `[N, h * w, D]`.
        patch: height and width of the pixels that became one token. Their proportion alone counts.

    Raises:
        ValueError: so many tokens fill no such picture.
    """
    number = tokens.shape[1]
    height = max(1, round(math.sqrt(number * patch[1] / patch[0])))
    if number % height or height * patch[0] != number // height * patch[1]:
        raise ValueError(
            f"{number} tokens of {patch[0]} x {patch[1]} pixels fill no square picture, so the network has no map: use "
            "its feature"
        )
    return tokens.transpose(1, 2).unflatten(2, (height, number // height))


@torch.no_grad()
def _count_features(image_net: nn.Module, clip_spec: ClipSpec) -> int:
    device = next((parameter.device for parameter in image_net.parameters()), None)
    was_training = image_net.training
    seen = image_net.eval()(torch.zeros(1, 3, clip_spec.size, clip_spec.size, device=device))
    image_net.train(was_training)
    return seen.shape[1]
