"""Pretext tasks: what is done to a tuple of clips, and the label a network has to find out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from kdvideo.data.draws import Draws

__all__ = ["ClipFrames", "Pretext", "PretextOperation", "PretextPlan"]

ClipFrames = tuple[int, ...]  # the video frames of one clip, in display order


@dataclass(frozen=True)
class PretextOperation:
    """What a pretext does to the pixels of one tuple.

    Attributes:
        label: the class to predict.
        argument: which variant of the operation; its meaning is the pretext's own.
    """

    label: int
    argument: int


@dataclass(frozen=True)
class PretextPlan(PretextOperation):
    """A pretext's operation together with the frames to read.

    Attributes:
        clips: the frames of each clip, after the pretext has exchanged those it exchanges.
    """

    clips: tuple[ClipFrames, ...]


class Pretext:
    """The base of all pretext tasks, and the contract of `PRETEXTS`: a subclass sets `num_classes` and has `apply`.

    Attributes:
        num_classes: labels, counted from 0.
        head: the name in `HEADS` of what reads a tuple's features and answers.
    """

    num_classes: ClassVar[int]
    head: ClassVar[str] = "pretext_head"

    @classmethod
    def check(cls, *, clip_len: int, size: int, tuple_len: int) -> None:
        """Raises ValueError where the operation cannot be done to such clips; all are welcome unless a task says so."""

    def plan(
        self, draws: Draws, clips: Sequence[ClipFrames], *, num_frames: int, label_slot: int | None = None
    ) -> PretextPlan:
        """Chooses label and operation, knowing frame numbers only; here: any label as likely as the others.

        Args:
            draws: where the choice comes from.
            clips: frames of each clip, in order and without overlap.
            num_frames: frames of the video.
            label_slot: for fixed evaluation tuples: takes the possible labels in turn instead of drawing one, so that
                slots 0, 1, 2, ... of a video hold every label equally often.
        """
        label = draws.integer(self.num_classes) if label_slot is None else label_slot % self.num_classes
        return PretextPlan(label=label, argument=0, clips=tuple(clips))

    def apply(self, clips: Tensor, plan: PretextOperation) -> Tensor:
        """Applies the operation to `clips[N, C, T, H, W]`, which hold the planned frames; may change them in place.

        On the training device it knows label and argument only, not the frames.
        """
        raise NotImplementedError(f"{type(self).__name__} has no apply")
