"""No pretext: single clips, for runs that learn from a teacher alone."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import ClipFrames, Pretext, PretextOperation, PretextPlan
from kdvideo.registry import PRETEXTS

__all__ = ["NoPretext"]


@PRETEXTS.register_as("none")
class NoPretext(Pretext):
    """One clip per sample, left as it is. There is nothing to predict, so a network has no pretext head."""

    num_classes: ClassVar[int] = 0

    @classmethod
    def check(cls, *, clip_len: int, size: int, tuple_len: int) -> None:
        """Raises ValueError unless a sample has one clip."""
        if tuple_len != 1:
            raise ValueError(f"`tuple_len` is {tuple_len}; the pretext none has one clip per sample: set it to 1")

    @classmethod
    def kept_clips(cls, tuple_len: int) -> tuple[int, ...]:
        """Returns all places, because no clip is changed."""
        return tuple(range(tuple_len))

    def plan(
        self, draws: Draws, clips: Sequence[ClipFrames], *, num_frames: int, label_slot: int | None = None
    ) -> PretextPlan:
        """Draws nothing. The label is always 0."""
        return PretextPlan(label=0, argument=0, clips=tuple(clips))

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Returns `clips[N, C, T, H, W]` unchanged."""
        return clips

    def apply_batch(self, clips: Tensor, *, labels: Tensor, arguments: Tensor) -> Tensor:
        """Returns `clips[B, N, C, T, H, W]` unchanged."""
        return clips
