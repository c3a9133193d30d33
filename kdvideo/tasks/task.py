"""The base class of tasks."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.views import TeacherViews
from kdvideo.needs import Needs

__all__ = ["SHARE_OF", "Task"]

SHARE_OF = "share_of_"  # and a scalar's name: the share of the batch's samples that the scalar is about


class Task(nn.Module):
    """One step's computation, from a batch to the loss.

    The trainer knows nothing else about a method.

    Attributes:
        needs: what it needs of data and teachers. Defaults to tuples with a pretext, and no teacher.
        teacher_clip_spec: input convention of the `teacher_clips` in each batch. None if no such clips are needed.
        teacher_views: the views of each video to which the teacher answers. None if it answers to the student's clips.
        trainable: the single module that is optimised: the student, and parts that only training needs.
    """

    needs: ClassVar[Needs] = Needs()
    teacher_clip_spec: ClipSpec | None = None
    teacher_views: TeacherViews | None = None
    trainable: nn.Module

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Computes one step's losses.

        Args:
            batch: a batch of the loader on the training device: `clips` uint8 `[B, N, C, T, H, W]` and whatever else
                the task needs.

        Returns:
            Scalars: `loss` to minimise; all others are logged. Of a mean over some of the batch's samples, give the sum
            divided by B, and their share as `SHARE_OF` and its name: the log has their mean, whatever shares the steps
            and processes have.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    @property
    def teacher_inputs(self) -> list[ClipSpec | TeacherViews | None]:
        """Returns for each teacher its own input convention or its views. None if it sees the student's clips.

        The batch's keys of the second teacher are those of `key_of_teacher`.
        """
        return [self.teacher_clip_spec if self.teacher_views is None else self.teacher_views]

    @property
    def num_negatives(self) -> int:
        """Returns the number of other videos' numbers that each sample needs as `negatives`."""
        return 0

    def is_steady(self, batch: Batch) -> bool:
        """Tells whether `forward` does with this batch what it does with every later batch of the same keys and shapes.

        A module that changes from step to step, as a queue that fills up, has `is_steady` False as long as it does.

        Args:
            batch: a batch on the device.
        """
        return all(getattr(module, "is_steady", True) for module in self.modules())

    def complete_batch(self, batch: Batch) -> Batch:
        """Adds to a batch of the loader what is known on the host, before it moves to the device. By default, nothing.

        Args:
            batch: in the host's memory.
        """
        return batch

    def flush(self) -> None:
        """Writes what is still on its way from the device. The trainer calls it when it pauses. By default, nothing."""

    def describe(self) -> str:
        """Returns a one-line description for the log."""
        return type(self).__name__

    @property
    def student(self) -> nn.Module:
        """Returns the network for the zoo. By default, it is all of `trainable`."""
        return self.trainable

    def task_state(self) -> dict[str, Tensor]:
        """Returns the state that a checkpoint needs besides the student. By default, it is empty."""
        return {}

    def load_task_state(self, state: Mapping[str, Tensor]) -> None:
        """Restores the result of `task_state`."""
