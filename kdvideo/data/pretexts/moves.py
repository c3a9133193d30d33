"""Moves of pixels and frames that differ from tuple to tuple of a batch, without asking the device which they are.

A move is a table of sources: place i of the result shows what lay at place `sources[i]`.
"""

import torch
from torch import Tensor

__all__ = ["move_frames", "move_pixels", "quarter_turns"]


def quarter_turns(size: int, device: torch.device) -> Tensor:
    """Returns the moves that turn a picture of `size` x `size` by 0, 90, 180 and 270 degrees, counter-clockwise.

    Returns:
        int64 `[4, size * size]`, for `move_pixels`.
    """
    places = torch.arange(size * size, device=device).view(size, size)
    return torch.stack([torch.rot90(places, k=turns) for turns in range(4)]).flatten(1)


def move_pixels(clips: Tensor, sources: Tensor) -> Tensor:
    """Moves the pixels of all pictures of `clips[B, ..., H, W]` as `sources[B, H * W]` says."""
    pictures = clips.flatten(-2).flatten(1, -2)  # [B, pictures, pixels]
    return pictures.gather(2, sources[:, None].expand_as(pictures)).view(clips.shape)


def move_frames(clips: Tensor, sources: Tensor) -> Tensor:
    """Moves the frames of `clips[B, C, T, H, W]` as `sources[B, T]` says."""
    return clips.gather(2, sources[:, None, :, None, None].expand_as(clips))
