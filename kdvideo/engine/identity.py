"""Which videos and teacher a run has. Checkpoints store them, and a resumed run compares them."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdvideo.data.batch import NO_CLASS
from kdvideo.data.datasets.records import PROXY_SUFFIX
from kdvideo.data.videos import VideoList
from kdvideo.zoo.sources import Weights

__all__ = ["check_same_teachers", "check_same_videos", "describe_teachers", "describe_videos", "former_class_order"]

logger = logging.getLogger("kdvideo")

_HINT = "a bank's rows and all samples go by a video's number: bring back what was there, or start a new run"


def describe_videos(videos: VideoList) -> dict[str, Tensor]:
    """Returns the names, classes and frame counts of the videos in their order, as a checkpoint stores them.

    Returns:
        `names`, uint8: the names, with a zero byte between two names; `class_ids` and `num_frames`,
        int64 `[V]`.
    """
    names = b"\0".join(os.fsencode(record.name) for record in videos.records)
    classes = [NO_CLASS if record.class_id is None else record.class_id for record in videos.records]
    return {
        "names": torch.frombuffer(bytearray(names), dtype=torch.uint8),
        "class_ids": torch.tensor(classes),
        "num_frames": torch.tensor(list(videos.num_frames)),
    }


def check_same_videos(videos: VideoList, checkpoint: Mapping[str, Any], *, dataset: str) -> None:
    """Checks that a resumed run has the training videos with which it began.

    Files may have moved or been replaced by proxies. Other frame counts only give a warning: the samples of these
    videos change, but no video replaces another. Checkpoints of earlier versions do not name their videos, which also
    gives a warning.

    Args:
        videos: the current training videos.
        checkpoint: the run's checkpoint.
        dataset: the value of DATA.NAME.

    Raises:
        ValueError: videos are new or missing, or have another order or class. Says how many, and names the first.
    """
    before = checkpoint.get("videos")
    if before is None:
        _check_former(videos, dataset)
        return
    names, former = [_source(record.name) for record in videos.records], _names(before)
    added, removed = Counter(names) - Counter(former), Counter(former) - Counter(names)
    if added or removed:
        changes = f"new {_count(added)}, missing {_count(removed)}"
        raise ValueError(f"--resume: the training videos have changed: {changes}; {_HINT}")
    if names != former:
        place = next(i for i, (now, then) in enumerate(zip(names, former, strict=True)) if now != then)
        raise ValueError(
            f"--resume: the training videos are in another order, number {place} is {names[place]} and was "
            f"{former[place]}: {_HINT}"
        )
    now = describe_videos(videos)
    if (changed := _differ(now["class_ids"], before["class_ids"])) is not None:
        places, first_place = changed
        raise ValueError(
            f"--resume: {places} training videos have another class, the first {names[first_place]} had number "
            f"{before['class_ids'][first_place]}, now {now['class_ids'][first_place]}: bring back the lists, or start "
            "a new run"
        )
    if (changed := _differ(now["num_frames"], before["num_frames"])) is not None:
        places, first_place = changed
        logger.warning(
            "%d training videos give other numbers of frames than when the run began, the first %s %d, now %d; what is "
            "drawn from them changes",
            *(places, names[first_place], before["num_frames"][first_place], now["num_frames"][first_place]),
        )


def describe_teachers(teachers: Sequence[Weights]) -> dict[str, list[dict[str, str]]]:
    """Returns what a checkpoint stores of teachers whose names may come to mean other weights. Empty without such."""
    if not any(teacher.pinned for teacher in teachers):
        return {}
    return {"teachers": [{"name": teacher.name, "sha256": teacher.answers_sha256} for teacher in teachers]}


def check_same_teachers(teachers: Sequence[Weights], checkpoint: Mapping[str, Any], *, listed: bool) -> None:
    """Checks that a resumed run has the teachers with which it began, whatever their repositories have now.

    Args:
        teachers: the weights of the run's teachers.
        checkpoint: the run's checkpoint.
        listed: whether the config names them in TEACHERS.

    Raises:
        ValueError: weights, config or preprocessor file of one are others. Says which revision it was.
    """
    for number, (teacher, before) in enumerate(zip(teachers, checkpoint.get("teachers", ()), strict=False), start=1):
        if teacher.pinned and teacher.answers_sha256 != before["sha256"]:
            key = f"TEACHERS.{number}.WEIGHTS" if listed else "TEACHER.WEIGHTS"
            raise ValueError(
                f"--resume: {key} {teacher.source} is {teacher.name} now, the run was started with {before['name']}: "
                f"give that as {key}"
            )


def former_class_order(names: Sequence[str]) -> list[str]:
    """Returns HMDB51's classes in kdvideo's former order, from before it stored class names in its files.

    They were sorted by the list files' names: `climb_stairs_test_split1.txt` comes before `climb_test_split1.txt`.
    """
    return sorted(names, key=lambda name: f"{name}_test_split")


def _check_former(videos: VideoList, dataset: str) -> None:
    numbered = {(record.class_id or 0, record.class_name) for record in videos.records if record.class_name}
    names = [name for _, name in sorted(numbered)]
    if dataset == "hmdb51" and former_class_order(names) != names:
        moved = [now for now, then in zip(names, former_class_order(names), strict=True) if now != then]
        raise ValueError(
            f"--resume: the run was begun with other numbers of HMDB51's classes, {len(moved)} of {len(names)} differ "
            f"({', '.join(moved[:3])}, ..); they are alphabetical now, as everybody's: start a new run"
        )
    logger.warning(
        "the checkpoint is of an earlier version and does not name its training videos: that they are the same, in "
        "the same order, could not be compared"
    )


def _count(found: Counter[str]) -> str:
    return f"{found.total()} (the first {min(found)})" if found else "0"


def _names(before: Mapping[str, Tensor]) -> list[str]:
    return [_source(os.fsdecode(name)) for name in before["names"].numpy().tobytes().split(b"\0")]


def _source(name: str) -> str:
    """Returns the name that a video and its proxy have in common."""
    return name.removesuffix(PROXY_SUFFIX)


def _differ(now: Tensor, before: Tensor) -> tuple[int, int] | None:
    """Returns the number of places that differ and the first of them. None if all are equal."""
    places = (now != before).nonzero()
    return (len(places), int(places[0])) if len(places) else None
