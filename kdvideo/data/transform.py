"""From decoded frames of any size to what a network takes, for frames that do not come from a file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.resize import find_cut

__all__ = ["ClipTransform"]

_LAYOUTS = "[T, C, H, W] or [T, H, W, C]"


@dataclass(frozen=True)
class ClipTransform:
    """Turns frames into a network's input, as `kdvideo embed`, `kdvideo predict` and `load_clips` do.

    They are resized, cropped at the centre, scaled and normalised. `ClipSpec.transform` builds one.

    Attributes:
        spec: the network's input convention.
    """

    spec: ClipSpec

    def __call__(self, frames: Any) -> Tensor:
        """Returns the network's input for one clip, or for a batch of clips whose frames have one size.

        Args:
            frames: RGB, uint8 `[T, C, H, W]` or `[T, H, W, C]`, as a tensor or an array; with any dimensions before.
                T is the spec's `clip_len`: every `frame_stride`-th frame of the video.

        Returns:
            float32 `[C, T, size, size]`, with the same dimensions before. A network takes a batch: `model(clip[None])`.

        Raises:
            ValueError: the frames are no uint8, or have another layout or number.
        """
        given = frames if isinstance(frames, Tensor) else torch.from_numpy(np.ascontiguousarray(frames))
        clips = _channels_first(given)
        self._check_length(clips.shape[-4])
        spec = self.spec
        cut = find_cut(
            (spec.center, spec.center),
            (clips.shape[-2], clips.shape[-1]),
            short_side=spec.own_short_side,
            size=spec.size,
            resizing=spec.resizing,
        )
        return prepare_clips(cut.of(clips[(..., *cut.window)]).transpose(-4, -3), spec)

    def _check_length(self, length: int) -> None:
        spec = self.spec
        if length == spec.clip_len:
            return
        if spec.sampling == "uniform":
            how = "spread evenly over the video"
        else:
            step = f"[::{spec.frame_stride}]" if spec.frame_stride > 1 else ""
            how = f"e.g. frames{step}[:{spec.clip_len}]"
        raise ValueError(f"there are {length} frames, the network takes clips of {spec.clip_len}: give as many, {how}")


def _channels_first(frames: Tensor) -> Tensor:
    """Returns the frames as `[..., T, C, H, W]`, a view.

    Raises:
        ValueError: they are no uint8, or it cannot be told where their channels are.
    """
    given = f"frames are {str(frames.dtype).removeprefix('torch.')} {list(frames.shape)}"
    if frames.dtype != torch.uint8:
        raise ValueError(f"{given}; they must be uint8 {_LAYOUTS}, from 0 to 255: scaling and mean are applied here")
    if frames.dim() < 4:
        raise ValueError(f"{given}; they must be {_LAYOUTS}: a clip is {frames.dim()} of 4 dimensions")
    first, last = frames.shape[-3] == 3, frames.shape[-1] == 3
    if first == last:
        why = "its width is 3, too" if first else "one of these two must have 3 channels"
        raise ValueError(f"{given}; they must be {_LAYOUTS}: {why}")
    if 0 in frames.shape:
        raise ValueError(f"{given}: there is no pixel in them")
    return frames if first else frames.movedim(-1, -3)
