"""The base class of contrastive losses."""

from typing import Self

from fvcore.common.config import CfgNode
from torch import Tensor, nn

__all__ = ["ContrastiveLoss"]


class ContrastiveLoss(nn.Module):
    """The base of contrastive losses between the first and the last clip of a tuple.

    Attributes:
        num_negatives: K, the number of other videos' numbers that each sample must have.
    """

    num_negatives: int = 0

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Builds the loss from CONTRAST for `num_videos` training videos."""
        raise NotImplementedError(f"{cls.__name__} has no from_config")

    def forward(self, z: Tensor, index: Tensor, negatives: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            z: projections of the first and the last clip, of length 1, `[B, 2, E]`.
            index: the videos' numbers, int64 `[B]`.
            negatives: other videos' numbers, int64 `[B, K]`.

        Returns:
            A scalar, averaged over the batch.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")
