"""The base class of contrastive losses."""

from typing import Self

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from kdvideo.registry import LOSSES

__all__ = ["ContrastiveLoss", "NoContrast"]


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


@LOSSES.register_as("none")
class NoContrast(ContrastiveLoss):
    """No contrastive loss, for runs that learn from a teacher alone. It is always 0.

    Example:
        >>> import torch
        >>> nothing = torch.empty(4, 0, dtype=torch.long)
        >>> NoContrast()(torch.randn(4, 2, 8), torch.arange(4), nothing)
        tensor(0.)
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Builds it. Nothing of the config matters."""
        return cls()

    def forward(self, z: Tensor, index: Tensor, negatives: Tensor) -> Tensor:
        """Returns 0 for any projections `[B, 2, E]`; see `ContrastiveLoss.forward`."""
        return z.new_zeros(())
