"""The contract of pretext tasks: an operation on a tuple of clips, and the label that a network has to predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
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
    """The base of all pretext tasks, and the contract of `PRETEXTS`.

    A subclass sets `num_classes` and defines `apply`. It may define `apply_batch`, so that no GPU is waited for.

    Attributes:
        num_classes: number of labels, which count from 0. With none, networks have neither pretext nor projection head.
        head: the name in `HEADS` of the head that predicts the label from a tuple's features.
    """

    num_classes: ClassVar[int]
    head: ClassVar[str] = "pretext_head"

    def __init_subclass__(cls, **options: Any) -> None:
        """Calls `apply` tuple by tuple, if the subclass or a mixin overrides it without an `apply_batch`.

        The inherited `apply_batch` would do what the overridden `apply` did.
        """
        super().__init_subclass__(**options)
        if _owner(cls, "apply") < _owner(cls, "apply_batch"):
            cls.apply_batch = Pretext.apply_batch  # type: ignore[method-assign]

    @classmethod
    def check(cls, *, clip_len: int, size: int, tuple_len: int) -> None:
        """Raises ValueError if such clips do not suit the pretext. By default all do."""

    @classmethod
    def kept_clips(cls, tuple_len: int) -> tuple[int, ...]:
        """Returns the places of a tuple whose clips still show what a teacher's view of the video shows.

        By default none: the operation may have changed any clip.
        """
        return ()

    def plan(
        self, draws: Draws, clips: Sequence[ClipFrames], *, num_frames: int, label_slot: int | None = None
    ) -> PretextPlan:
        """Chooses label and operation from frame numbers only.

        By default all labels are equally likely.

        Args:
            draws: where the choice comes from.
            clips: frames of each clip, in order and without overlap.
            num_frames: frames of the video.
            label_slot: takes the possible labels in turn instead of drawing one, for fixed evaluation tuples. Slots
                0, 1, 2, ... of a video then have every label equally often. Defaults to drawing.
        """
        label = draws.integer(self.num_classes) if label_slot is None else label_slot % self.num_classes
        return PretextPlan(label=label, argument=0, clips=tuple(clips))

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Applies the operation to `clips[N, C, T, H, W]`.

        The clips hold the planned frames and may be changed in place. The operation may be a `PretextPlan`, but on the
        training device its frames are no longer known.
        """
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def apply_batch(self, clips: Tensor, *, labels: Tensor, arguments: Tensor) -> Tensor:
        """Applies to each tuple of `clips[B, N, C, T, H, W]` its own operation, on the training device.

        The result equals that of `apply`, tuple by tuple, and this is what it does by default. Labels have to be known
        for that, so the host waits for the device once a step. A pretext that is not to wait says the same in
        operations on the whole batch, as those of kdvideo do with `kdvideo.data.pretexts.moves`.

        Args:
            clips: hold the planned frames; they may be changed in place.
            labels: int64 `[B]`, on the clips' device.
            arguments: int64 `[B]`, as labels.
        """
        chosen = zip(*torch.stack([labels, arguments]).tolist(), strict=True)
        operations = [PretextOperation(label, argument) for label, argument in chosen]
        return torch.stack([self.apply(*pair) for pair in zip(clips, operations, strict=True)])


def _owner(cls: type, method: str) -> int:
    """Returns the place, in the order in which Python looks a method up, of the class that defines it."""
    return next(place for place, owner in enumerate(cls.__mro__) if method in vars(owner))
