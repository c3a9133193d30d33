"""A noise-contrastive loss with negatives from a queue of the latest projections."""

from typing import Any, Self

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.distributed import gather
from kdvideo.losses.contrast import ContrastiveLoss
from kdvideo.registry import LOSSES

__all__ = ["Queue", "QueueNCE"]


class Queue(nn.Module):
    """The rows that were pushed last, first in, first out.

    He et al., arXiv 1911.05722, section 3.2.

    ::

        length 5, three batches of 2:    a a . . .    a a b b .    c a b b c
                                             ^                ^      ^        the next place to write

    The checkpoint stores `places[length, dim]` and the number of rows that were ever pushed. On a GPU, both stay there
    at their address. How many places are filled, the host counts on its own.

    Args:
        length: number of places.
        dim: length of a row.
        dtype: type of the rows.

    Example:
        >>> queue = Queue(length=3, dim=1)
        >>> for batch in ([[1.0], [2.0]], [[3.0], [4.0]]):
        ...     queue.push(torch.tensor(batch))
        >>> queue.rows.flatten().tolist()
        [4.0, 2.0, 3.0]
    """

    places: Tensor
    num_pushed: Tensor

    def __init__(self, length: int, dim: int, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("places", torch.zeros(length, dim, dtype=dtype))
        self.register_buffer("num_pushed", torch.zeros((), dtype=torch.int64))
        self._num_filled = 0
        self.register_load_state_dict_post_hook(_count_filled)

    @property
    def is_steady(self) -> bool:
        """Tells whether the queue is full, so that the shape of `rows` stays as it is."""
        return self._num_filled == len(self.places)

    @property
    def rows(self) -> Tensor:
        """A copy of the stored rows. `[min(length, pushed so far), dim]`, unordered."""
        return self.places[: self._num_filled].clone()

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Writes `rows[B, dim]` over the oldest rows. If there are more rows than places, the last ones stay.

        It writes in place. The backward of the current loss comes later and needs the old rows, which is why `rows` is
        a copy.
        """
        length = len(self.places)
        kept = rows[-length:]
        where = (self.num_pushed + torch.arange(len(kept), device=rows.device)) % length
        self.places.index_copy_(0, where, kept.to(self.places.dtype))
        self.num_pushed += len(kept)
        self._num_filled = min(self._num_filled + len(kept), length)


def _count_filled(queue: Any, incompatible_keys: object) -> None:
    queue._num_filled = min(int(queue.num_pushed), len(queue.places))


@LOSSES.register_as("queue_nce")
class QueueNCE(ContrastiveLoss):
    """InfoNCE whose negatives are other videos' latest projections.

    The queue is that of He et al., arXiv 1911.05722. The first clip's projection has to find its own last clip among a
    queue of last clips, and the other way round, as in PCL. A video's own older projections are no negatives, and a
    queue that is not full yet has fewer. Unlike a bank's, its memory does not grow with the number of videos.

    Args:
        length: places of each queue.
        dim: length of a projection.
        temperature: divides the similarities.

    Example:
        >>> loss, z = QueueNCE(length=16, dim=8), F.normalize(torch.randn(2, 2, 8), dim=-1)
        >>> loss(z, index=torch.tensor([0, 1])).item()  # the queues are empty
        0.0
        >>> loss(z, index=torch.tensor([2, 3])).item() > 0
        True
    """

    def __init__(self, *, length: int = 1024, dim: int = 128, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature
        self.first_queue, self.last_queue = Queue(length, dim), Queue(length, dim)
        self.videos = Queue(length, 1, dtype=torch.int64)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, num_videos: int) -> Self:
        """Builds the loss from MODEL.PROJECTION_DIM and CONTRAST; NUM_NEGATIVES is the queue's length."""
        return cls(
            length=cfg.CONTRAST.NUM_NEGATIVES, dim=cfg.MODEL.PROJECTION_DIM, temperature=cfg.CONTRAST.TEMPERATURE
        )

    def forward(self, z: Tensor, index: Tensor, negatives: Tensor | None = None) -> Tensor:
        """Adds the cross-entropies of both directions, averaged over the batch.

        Args:
            z: projections of first and last clip, of length 1, `[B, 2, E]`. The gradient goes through both.
            index: the videos' numbers, int64 `[B]`.
            negatives: not used here.

        Returns:
            A scalar. It is `2 log(K + 1)` if all similarities to K negatives are equal, 0 while the queues are empty.
        """
        # b = batch, q = place in the queue, e = embedding
        positive = torch.einsum("be,be->b", z[:, 0], z[:, 1])
        target = torch.zeros_like(index)
        loss = z.new_zeros(())
        queues = self.first_queue, self.last_queue
        own_video = self.videos.rows[:, 0] == index[:, None]
        for own, other in ((0, 1), (1, 0)):
            similarity = torch.einsum("be,qe->bq", z[:, own], queues[other].rows)
            logits = torch.cat((positive[:, None], similarity.masked_fill(own_video, -torch.inf)), dim=1)
            loss = loss + F.cross_entropy(logits / self.temperature, target)
        if self.training:
            index, z = gather(index), gather(z)
            for i, queue in enumerate(queues):
                queue.push(z[:, i])
            self.videos.push(index[:, None])
        return loss
