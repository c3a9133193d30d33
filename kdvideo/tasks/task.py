"""What every task is."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec

__all__ = ["Task"]


class Task(nn.Module):
    """One step's computation, from a batch to the loss.

    It is all that the trainer knows of a method.

    Attributes:
        needs_teacher: whether `from_config` is handed a built teacher.
        takes_replay: whether `from_config` takes `replay`, a store of the teacher's answers.
        needs_labels: whether it learns classes, and its model is a `ClassificationModel` instead of a `PCLModel`.
        teacher_clip_spec: of the `teacher_clips` that a batch has to bring along; None if it need not.
        trainable: the one module that is optimised: the student, and what it needs in training only.
    """

    needs_teacher: ClassVar[bool] = False
    takes_replay: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    teacher_clip_spec: ClipSpec | None = None
    trainable: nn.Module

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: what the loader gives, on the training device: `clips` uint8 `[B, N, C, T, H, W]` and what else the
                task asks for.

        Returns:
            Scalars: `loss` to minimise, all others to log.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    @property
    def num_negatives(self) -> int:
        """Returns how many other videos' numbers a sample has to bring along as `negatives`."""
        return 0

    def describe(self) -> str:
        """Returns one line for the log."""
        return type(self).__name__

    @property
    def student(self) -> nn.Module:
        """Returns the network that goes to the zoo; all of `trainable`, unless a task says otherwise."""
        return self.trainable

    def task_state(self) -> dict[str, Tensor]:
        """Returns what a checkpoint needs besides the student; nothing, unless a task says otherwise."""
        return {}

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores what `task_state` has returned."""
