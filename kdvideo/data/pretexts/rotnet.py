"""Rotation prediction: by how much the clips of a tuple were turned."""

from typing import ClassVar

import torch
from torch import Tensor

from kdvideo.data.pretexts.base import Pretext, PretextOperation
from kdvideo.data.pretexts.moves import move_pixels, quarter_turns
from kdvideo.registry import PRETEXTS

__all__ = ["RotNet"]


@PRETEXTS.register_as("rotnet")
class RotNet(Pretext):
    """3DRotNet, four classes: 0, 90, 180 or 270 degrees (Jing et al., arXiv 1811.11387; joined in arXiv 2010.15464).

    All frames of all clips of a tuple are turned alike, counter-clockwise. Were only one clip turned, comparing it with
    the others would give the answer away. Two clips are enough: the contrastive loss needs no third.
    """

    num_classes: ClassVar[int] = 4

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Turns `clips[N, C, T, H, W]` by `operation.label` right angles. H equals W."""
        return torch.rot90(clips, k=operation.label, dims=(-2, -1))

    def apply_batch(self, clips: Tensor, *, labels: Tensor, arguments: Tensor) -> Tensor:
        """Turns each tuple of `clips[B, N, C, T, H, W]` by its label; see `Pretext.apply_batch`."""
        return move_pixels(clips, quarter_turns(clips.shape[-1], clips.device).index_select(0, labels))
