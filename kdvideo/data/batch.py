"""The key of a training sample, and the tensors of a batch: all that travels from the loader to a task.

A dataset writes the keys below for one sample, the loader collates samples to a `Batch`, and each task reads the keys
that it needs. No key is known anywhere else.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, cast

from torch import Tensor

__all__ = [
    "NO_CLASS",
    "Batch",
    "Sample",
    "SampleKey",
    "batch_size",
    "key_of_teacher",
    "map_batch",
    "part_of_teacher",
    "with_part",
]

NO_CLASS = -1  # the `class_id` of a clip without a label among others


class SampleKey(NamedTuple):
    """The training sample of one video in one epoch.

    Attributes:
        epoch: counted from 0.
        video: the video's number in the training list, `index` in a batch.
    """

    epoch: int
    video: int


class Batch(TypedDict, total=False):
    """B training samples of N clips each, as a task receives them.

    Attributes:
        clips: uint8 `[B, N, C, T, H, W]`, RGB.
        index: int64 `[B]`, the videos' numbers in the training list.
        epoch: int64 `[B]`, counted from 0.
        pretext_label: int64 `[B]`, the class that a pretext task has to predict.
        negatives: int64 `[B, K]`, the numbers of other videos, for losses with a memory bank.
        teacher_clips: uint8 `[B, N, C, T', H', W']`, for a teacher that takes frames of its own; N is 1 for views.
        view: int64 `[B]`, the number of the teacher's view around which the clips lie, if it has views.
        class_id: int64 `[B]`, the labels of labelled clips. NO_CLASS for a clip without a label.
        partner: int64 `[B]`, the number of the video with whose clips a sample's are mixed. Its clips stand behind the
            sample's own, so that N is doubled, until `mix_batch` blends them. This and the following keys are there if
            samples are mixed.
        share: float `[B]`, the share of the sample's own clips in the mixture.
        partner_class: int64 `[B]`, the partner's label.
        color: float32 `[B, N, 3, 6]`, a linear map of each clip's colours. This and the following keys are there if
            augmentation is left to the training device; `augment_batch` uses them up.
        blur_sigma: float32 `[B, N]`, the width of each clip's blur in pixels; 0 leaves a clip sharp.
        pretext_argument: int64 `[B]`, the variant of the pretext operation.
        frames: int64 `[B, N, T]`, the clips' frames in their videos. This and the following keys are there in place of
            `clips` if the device holds all frames; `ResidentFrames.add_clips` uses them up.
        corner: int64 `[B, N, 2]`, each crop's first row and column.
        flip: bool `[B, N]`, whether a clip is mirrored left to right.
    """

    clips: Tensor
    index: Tensor
    epoch: Tensor
    pretext_label: Tensor
    negatives: Tensor
    teacher_clips: Tensor
    view: Tensor
    class_id: Tensor
    partner: Tensor
    share: Tensor
    partner_class: Tensor
    color: Tensor
    blur_sigma: Tensor
    pretext_argument: Tensor
    frames: Tensor
    corner: Tensor
    flip: Tensor


class Sample(TypedDict, total=False):
    """One training sample, as a dataset returns it: a `Batch` without B, its `[B]` as plain numbers."""

    clips: Tensor
    index: int
    epoch: int
    pretext_label: int
    negatives: Tensor
    teacher_clips: Tensor
    view: int
    class_id: int | None
    partner: int
    share: float
    partner_class: int | None
    color: Tensor
    blur_sigma: Tensor
    pretext_argument: int
    frames: Tensor
    corner: Tensor
    flip: Tensor


def batch_size(batch: Batch) -> int:
    """Returns B, the number of samples: each value is `[B, ...]`."""
    values: Any = batch.values()
    return len(next(iter(values)))


def map_batch(batch: Batch, function: Callable[[Any], Any]) -> Batch:
    """Applies `function` to every value, tensors `[B, ...]` and others alike."""
    return cast("Batch", {key: function(value) for key, value in batch.items()})


_OWN = ("teacher_clips", "answer_", "is_answered")  # begin the keys that each teacher has for itself


def key_of_teacher(key: str, number: int) -> str:
    """Returns the key in a batch of several teachers, e.g. "teacher2.teacher_clips". The first one's is as it is.

    Args:
        key: the key in a batch of one teacher.
        number: the teacher's, counted from 1.
    """
    return key if number == 1 else f"teacher{number}.{key}"


def part_of_teacher(batch: Batch, number: int) -> Batch:
    """Returns what one of several teachers sees of a batch: all that is shared, and its own, under the usual keys.

    Args:
        batch: a batch.
        number: the teacher's, counted from 1.
    """
    values: Mapping[str, Any] = batch
    shared = {key: value for key, value in values.items() if "." not in key and not key.startswith(_OWN)}
    own = tuple(key_of_teacher(key, number) for key in _OWN)
    kept = {key.rpartition(".")[2]: value for key, value in values.items() if key.startswith(own)}
    return cast("Batch", {**shared, **kept})


def with_part(batch: Batch, part: Batch, number: int) -> Batch:
    """Returns the batch with another part of one teacher; see `part_of_teacher`."""
    values: Mapping[str, Any] = batch
    own = tuple(key_of_teacher(key, number) for key in _OWN)
    rest = {key: value for key, value in values.items() if not key.startswith(own)}
    kept = {key_of_teacher(key, number): value for key, value in part.items() if key.startswith(_OWN)}
    return cast("Batch", {**rest, **kept})
