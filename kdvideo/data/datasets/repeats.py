"""Finds what a dataset lists more than once: a video in both lists or twice in one, a class in two spellings."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from kdvideo.data.datasets.records import VideoRecord

__all__ = ["find_repeats"]

_NUM_SHOWN = 3


def find_repeats(train: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> list[str]:
    """Returns one line per kind of repetition.

    Files are the same if their links lead to the same place. A repeated video stays where it is listed, since leaving
    it out would make another dataset.
    """
    in_train, in_test = _by_file(train), _by_file(test)
    both = [records[0].name for file, records in in_test.items() if file in in_train]
    lines = []
    if both:
        lines.append(
            f"{_describe(both, 'in both the training and the test list')}: results on the test list are too good"
        )
    for label, files in (("training", in_train), ("test", in_test)):
        repeated = [records for records in files.values() if len(records) > 1]
        if repeated:
            names = [records[0].name for records in repeated]
            lines.append(
                f"{_describe(names, f'more than once in the {label} list')}: each counts as often as it is listed"
            )
        torn = [records[0].name for records in repeated if len({record.class_id for record in records}) > 1]
        if torn:
            lines.append(_describe(torn, f"in the {label} list with two classes"))
    return [*lines, *_find_lookalikes({record.class_name for record in (*train, *test) if record.class_name})]


def _find_lookalikes(names: Iterable[str]) -> list[str]:
    """Returns one line per group of lookalike class names. A reader would take them for one name."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        letters = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())
        groups.setdefault(letters or name, []).append(name)
    return [
        f"classes {', '.join(map(repr, alike))} are {len(alike)} classes that differ in case, blanks or marks alone: "
        "spell them alike if they are one"
        for alike in groups.values()
        if len(alike) > 1
    ]


def _by_file(records: Iterable[VideoRecord]) -> dict[str, list[VideoRecord]]:
    """Groups the records by their file."""
    real_folder = cache(os.path.realpath)  # a folder has many videos
    found: dict[str, list[VideoRecord]] = {}
    for record in records:
        path = record.path
        file = os.path.realpath(path) if os.path.islink(path) else os.path.join(real_folder(path.parent), path.name)
        found.setdefault(file, []).append(record)
    return found


def _describe(names: Sequence[str], where: str) -> str:
    shown = ", ".join(names[:_NUM_SHOWN]) + (", ..." if len(names) > _NUM_SHOWN else "")
    return f"{len(names)} {'video is' if len(names) == 1 else 'videos are'} {where} ({shown})"
