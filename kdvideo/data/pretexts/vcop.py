"""Video clip order prediction: in which order the clips of a shuffled tuple were filmed."""

from collections.abc import Sequence
from itertools import permutations
from typing import ClassVar

from torch import Tensor

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import ClipFrames, Pretext, PretextOperation, PretextPlan
from kdvideo.registry import PRETEXTS

__all__ = ["VCOP"]


@PRETEXTS.register_as("vcop")
class VCOP(Pretext):
    """Clip order prediction, 3! classes (Xu et al., CVPR 2019, section 3; joined with contrast in arXiv 2010.15464).

    ::

        label    0    1    2    3    4    5
        order   012  021  102  120  201  210      place i of the tuple shows the clip filmed as number order[i]

    The frames within a clip keep their order. The clips at both ends, whichever they are, still belong to one video, so
    the contrastive loss is that of the other pretexts.
    """

    TUPLE_LEN = 3
    ORDERS = tuple(permutations(range(TUPLE_LEN)))
    num_classes: ClassVar[int] = len(ORDERS)
    head: ClassVar[str] = "order_head"

    @classmethod
    def check(cls, *, clip_len: int, size: int, tuple_len: int) -> None:
        """Raises ValueError unless tuples have three clips."""
        if tuple_len != cls.TUPLE_LEN:
            raise ValueError(
                f"`tuple_len` is {tuple_len}; the pretext vcop has a class for each order of three clips: use 3"
            )

    def plan(
        self, draws: Draws, clips: Sequence[ClipFrames], *, num_frames: int, label_slot: int | None = None
    ) -> PretextPlan:
        """Draws one of the orders, all equally likely; see `Pretext.plan`."""
        plan = super().plan(draws, clips, num_frames=num_frames, label_slot=label_slot)
        shuffled = tuple(clips[i] for i in self.ORDERS[plan.label])
        return PretextPlan(label=plan.label, argument=0, clips=shuffled)

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Returns `clips[N, C, T, H, W]` unchanged. They have been read in the planned order."""
        return clips

    def apply_batch(self, clips: Tensor, *, labels: Tensor, arguments: Tensor) -> Tensor:
        """Returns `clips[B, N, C, T, H, W]` unchanged, as `apply` does."""
        return clips
