"""Noise-contrastive losses with negatives from memory banks, or from the batch."""

from typing import Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.distributed import gather, gather_with_gradient, rank
from kdvideo.losses.contrast import ContrastiveLoss
from kdvideo.registry import LOSSES

__all__ = ["BankNCE", "BatchNCE", "MemoryBank"]


class MemoryBank(nn.Module):
    """One unit vector per video, a running average of its projections.

    Wu et al., CVPR 2018, arXiv 1805.01978. The checkpoint stores `vectors[num_videos, dim]` as float16. This halves the
    memory and the data that each step fetches (docs/results/bank_rows.md). Computations are in float32.

    Args:
        num_videos: number of slots.
        dim: length of a vector.
        momentum: share of the old vector that an update keeps. From 0.999 on, rounding loses part of an update.
        seed: seed of the bank's random initial vectors.

    Example:
        >>> bank = MemoryBank(num_videos=10, dim=4)
        >>> bank.look_up(torch.tensor([[0, 3], [7, 7]])).shape
        torch.Size([2, 2, 4])
    """

    vectors: Tensor

    def __init__(self, num_videos: int, dim: int, *, momentum: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        self.momentum = momentum
        start = torch.randn(num_videos, dim, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("vectors", F.normalize(start, dim=1).half())

    def look_up(self, index: Tensor) -> Tensor:
        """Returns the vectors `[B, K, E]` of the slots `index[B, K]`. The time is proportional to B * K."""
        if self.vectors.device.type != "cpu":
            return self.vectors[index]
        # Bags of one row each: this kernel prefetches rows. Plain indexing waits for each row that is not in the cache.
        # Measured by benchmarks/bank_scaling.py.
        flat = index.flatten()
        bags = torch.arange(len(flat), device=flat.device)
        return F.embedding_bag(flat, self.vectors, bags, mode="sum").unflatten(0, index.shape)

    @torch.no_grad()
    def update(self, index: Tensor, z: Tensor) -> None:
        """Moves the slots `index[B]` towards `z[B, E]` and back to unit length."""
        mixed = self.momentum * self.vectors[index].to(z.dtype) + (1 - self.momentum) * z
        self.vectors[index] = F.normalize(mixed, dim=1).to(self.vectors.dtype)


@LOSSES.register_as("bank_nce")
class BankNCE(ContrastiveLoss):
    """NCE with two memory banks, one for first clips and one for last clips.

    PCL, arXiv 2010.15464, section 3.2; banks as in CMC, arXiv 1906.05849. The first clip's projection has to find its
    own video's vector in the last clips' bank among those of the negatives, and the other way round:
    `CE([z0 . bank1[own], z0 . bank1[negatives]] / temperature, 0)` plus the same for z1. In training, both banks are
    then updated with the projections of all ranks.

    Args:
        num_videos: slots of each bank.
        dim: length of a projection.
        num_negatives: negatives per sample, at most `num_videos - 1`.
        temperature: divides the similarities.
        momentum: momentum of the banks.
        seed: seed of the banks' initial vectors.

    Raises:
        ValueError: there are fewer than two videos.

    Example:
        >>> loss = BankNCE(num_videos=10, dim=8, num_negatives=3)
        >>> z = F.normalize(torch.randn(2, 2, 8), dim=-1)
        >>> loss(z, index=torch.tensor([0, 1]), negatives=torch.tensor([[2, 3, 4], [5, 6, 7]])).shape
        torch.Size([])
    """

    def __init__(
        self,
        *,
        num_videos: int,
        dim: int = 128,
        num_negatives: int = 1024,
        temperature: float = 0.07,
        momentum: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if num_videos < 2:
            raise ValueError(f"a memory bank needs at least 2 videos to have negatives, not {num_videos}")
        self.temperature = temperature
        self.num_negatives = min(num_negatives, num_videos - 1)
        self.first_bank, self.last_bank = (
            MemoryBank(num_videos, dim, momentum=momentum, seed=2 * seed + i) for i in range(2)
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Builds the loss from MODEL.PROJECTION_DIM, CONTRAST and SEED."""
        return cls(
            num_videos=num_videos,
            dim=cfg.MODEL.PROJECTION_DIM,
            num_negatives=cfg.CONTRAST.NUM_NEGATIVES,
            temperature=cfg.CONTRAST.TEMPERATURE,
            momentum=cfg.CONTRAST.BANK_MOMENTUM,
            seed=cfg.SEED,
        )

    @property
    def banks(self) -> tuple[MemoryBank, MemoryBank]:
        """The first clips' bank and the last clips'."""
        return self.first_bank, self.last_bank

    def forward(self, z: Tensor, index: Tensor, negatives: Tensor) -> Tensor:
        """Adds the cross-entropies of both directions, averaged over the batch.

        Args:
            z: projections of first and last clip, of length 1, `[B, 2, E]`.
            index: the videos' numbers, int64 `[B]`.
            negatives: other videos' numbers, int64 `[B, K]`.

        Returns:
            A scalar. It is `2 log(K + 1)` if all similarities are equal.
        """
        candidates = torch.cat((index[:, None], negatives), dim=1)  # [B, 1 + K], the own video first
        target = torch.zeros_like(index)
        loss = z.new_zeros(())
        banks = self.banks
        for own, other in ((0, 1), (1, 0)):
            entries = banks[other].look_up(candidates).to(z.dtype)
            # b = batch, k = candidate, e = embedding
            similarity = torch.einsum("be,bke->bk", z[:, own], entries)
            loss = loss + F.cross_entropy(similarity / self.temperature, target)
        if self.training:
            index, z = gather(index), gather(z)
            for i, bank in enumerate(banks):
                bank.update(index, z[:, i])
        return loss


@LOSSES.register_as("batch_nce")
class BatchNCE(ContrastiveLoss):
    """InfoNCE whose negatives are the batch's other videos.

    Van den Oord et al., arXiv 1807.03748, equation 4. With several processes, the batch is that of all processes, and
    the gradient also goes through the other processes' projections.

    Args:
        temperature: divides the similarities.

    Example:
        >>> z = torch.eye(2)[:, None].expand(2, 2, 2)  # both clips of a video agree, those of others are orthogonal
        >>> f"{BatchNCE(temperature=0.5)(z, index=torch.arange(2)):.4f}"  # 2 log(1 + exp(-1 / 0.5))
        '0.2539'
    """

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Builds the loss with CONTRAST.TEMPERATURE."""
        return cls(temperature=cfg.CONTRAST.TEMPERATURE)

    def forward(self, z: Tensor, index: Tensor, negatives: Tensor | None = None) -> Tensor:
        """Adds the cross-entropies of both directions, averaged over the batch.

        Each first clip has to find its own last clip in the batch, and the other way round.

        Args:
            z: projections of first and last clip, of length 1, `[B, 2, E]`.
            index: the videos' numbers, `[B]`. Not used here.
            negatives: not used here.

        Returns:
            A scalar. It is `2 log(B)` if all similarities are equal. B counts the videos of all processes.
        """
        everybody = gather_with_gradient(z)
        target = torch.arange(len(z), device=z.device) + rank() * len(z)
        loss = z.new_zeros(())
        for own, other in ((0, 1), (1, 0)):
            # b = video of this process, j = video of any process, e = embedding
            similarity = torch.einsum("be,je->bj", z[:, own], everybody[:, other])
            loss = loss + F.cross_entropy(similarity / self.temperature, target)
        return loss
