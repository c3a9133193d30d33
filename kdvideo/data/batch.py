"""The key of a training sample, and the tensors of a batch: all that travels from the loader to a task.

A dataset writes the keys below for one sample, the loader collates samples to a `Batch`, and each task reads the keys
that it needs. No key is known anywhere else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict, cast

from torch import Tensor

__all__ = ["Batch", "Sample", "SampleKey", "batch_size", "map_batch"]


class SampleKey(NamedTuple):
    """The training sample of one video in one epoch.

    Attributes:
        epoch: counted from 0.
        video: the video's number in the training list, `index` in a batch.
    """

    epoch: int
    video: int


class Sample(TypedDict, total=False):
    """One training sample, as a dataset returns it; see `Batch` for what each key means."""

    clips: Tensor  # uint8 [N, C, T, H, W]
    index: int
    epoch: int
    pretext_label: int
    negatives: Tensor  # int64 [K]
    class_id: int | None
    teacher_clips: Tensor  # uint8 [N, C, T', H', W']
    color: Tensor  # [N, 3, 6]
    blur_sigma: Tensor  # [N]
    pretext_argument: int


class Batch(TypedDict, total=False):
    """B training samples of N clips each, as a task receives them."""

    clips: Tensor  # uint8 [B, N, C, T, H, W], RGB
    index: Tensor  # int64 [B], the videos' numbers in the training list
    epoch: Tensor  # int64 [B], counted from 0

    # Tuples of clips, for a pretext task
    pretext_label: Tensor  # int64 [B], the class to predict
    negatives: Tensor  # int64 [B, K], the numbers of other videos, for losses that have a memory bank
    teacher_clips: Tensor  # uint8 [B, N, C, T', H', W'], for a teacher that takes frames of its own

    # Labelled clips, N = 1
    class_id: Tensor  # int64 [B]

    # What the workers leave to the training device; `augment_batch` uses these up
    color: Tensor  # float32 [B, N, 3, 6], a linear map of each clip's colours
    blur_sigma: Tensor  # float32 [B, N], in pixels; 0 leaves a clip sharp
    pretext_argument: Tensor  # int64 [B], the variant of the pretext operation


def batch_size(batch: Batch) -> int:
    """Returns the number of samples B."""
    values: Any = batch.values()
    return len(next(iter(values)))


def map_batch(batch: Batch, function: Callable[[Any], Any]) -> Batch:
    """Returns the batch with `function` applied to every value, tensors `[B, ...]` and others alike."""
    return cast("Batch", {key: function(value) for key, value in batch.items()})
