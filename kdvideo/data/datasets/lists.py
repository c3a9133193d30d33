"""Datasets given by the user's own lists: CSV or JSON lines with paths and labels."""

import re
from pathlib import Path

from kdvideo.data.datasets.records import (
    Subset,
    VideoFinder,
    VideoRecord,
    check_class_ids,
    check_inside,
    check_only_split,
)
from kdvideo.data.datasets.tables import read_rows
from kdvideo.data.datasets.walk import warn_once
from kdvideo.names import name_as_text
from kdvideo.registry import DATASETS

__all__ = ["video_lists"]

_MAX_DIGITS = 18  # digits of an id that fits into 64 bits
_NUM_SHOWN = 3


@DATASETS.register()
def video_lists(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists the videos of the user's own lists.

    They are called `train` and `test`. Each list is a `.csv` with the columns path and label, or a `.jsonl` with these
    keys. If all labels are whole numbers, they are class ids without names: 007 is 7. Otherwise they are names,
    numbered alphabetically over the training list. Lists without labels give a dataset without classes.

    Args:
        root: the folder that the paths are relative to.
        list_dir: the folder of the lists. Defaults to `root`.
        split: must be 1.
        subset: which list.

    Raises:
        ValueError: a list or column is missing, a path leaves `root`, only some lines have labels, the labels are in a
            column of another name, a label is unknown, or ids are negative or far beyond the number of classes.
    """
    check_only_split(split, "video_lists")
    finder = VideoFinder(root)
    list_dir = list_dir or root
    listed = _read_list(list_dir, subset)
    trained = {label for _, label in _read_list(list_dir, "train") if label is not None}
    are_ids = _are_ids(trained, list_dir)
    class_ids = _number_classes(trained, list_dir, are_ids=are_ids)
    unknown = sorted({label for _, label in listed if label is not None and _plain(label, are_ids) not in class_ids})
    if unknown:
        raise ValueError(f"{list_dir}: the {subset} list has the label {unknown[0]!r}, which the training list lacks")
    if class_ids and listed[0][1] is None:
        raise ValueError(f"{list_dir}: the {subset} list has no labels, but the training list has")
    return [
        VideoRecord(
            path=finder.find(name),
            name=name,
            class_id=None if label is None else class_ids[_plain(label, are_ids)],
            class_name=None if label is None or are_ids else name_as_text(label),
        )
        for name, label in listed
    ]


def _read_list(list_dir: Path, subset: Subset) -> list[tuple[str, str | None]]:
    """Returns paths and labels. In a list without labels, each is None."""
    files = [file for ending in ("csv", "jsonl") if (file := list_dir / f"{subset}.{ending}").is_file()]
    if len(files) != 1:
        raise ValueError(f"{list_dir} must hold either {subset}.csv or {subset}.jsonl: set `list_dir`")
    (file,) = files
    listed: list[tuple[str, str | None]] = []
    for number, row in enumerate(read_rows(file), start=1):
        origin = f"{file} video {number}"
        path, label = row.get("path"), row.get("label")
        if not isinstance(path, str):
            raise ValueError(f"{origin} has the path {path!r}; it must be a text")
        if isinstance(label, list | dict):
            raise ValueError(f"{origin} has the label {label!r}; it must be a text or a whole number")
        listed.append((check_inside(path, origin=origin), None if label is None else str(label).strip() or None))
    if not listed:
        raise ValueError(f"list file {file} names no video")
    without = [name for name, label in listed if label is None]
    if without and len(without) < len(listed):
        raise ValueError(f"{file} gives {len(without)} of {len(listed)} videos no label, the first {without[0]}")
    return listed


def _are_ids(labels: set[str], list_dir: Path) -> bool:
    """Returns whether the training list's labels are class ids.

    Raises:
        ValueError: they are, and some are negative.
    """
    if not labels or not all(re.fullmatch("-?[0-9]+", label) for label in labels):
        return False
    negative = sorted(label for label in labels if label.startswith("-"))
    if negative:
        raise ValueError(
            f"{list_dir}: the training list has the class id {negative[0]}: number the classes from 0, and leave out "
            "videos of no class"
        )
    return True


def _number_classes(labels: set[str], list_dir: Path, *, are_ids: bool) -> dict[str, int]:
    """Returns label -> class id, labels as `_plain` writes them."""
    if not are_ids:
        return {name: i for i, name in enumerate(sorted(labels))}
    class_ids = {_plain(label, are_ids): int(_plain(label, are_ids)[:_MAX_DIGITS]) for label in labels}
    there = set(class_ids.values())
    check_class_ids(there, origin=f"{list_dir}: the training list")
    missing = sorted(set(range(max(there))) - there)
    if missing:
        shown = ", ".join(map(str, missing[:_NUM_SHOWN])) + (", ..." if len(missing) > _NUM_SHOWN else "")
        warn_once(
            f"{list_dir}: no training video has the class id {shown}: a classifier gets {1 + max(there)} classes, "
            f"0 to {max(there)}, for the {len(there)} that there are"
        )
    return class_ids


def _plain(label: str, are_ids: bool) -> str:
    """Removes leading zeros from an id. Other labels stay unchanged."""
    return label.lstrip("0") or "0" if are_ids and label.isascii() and label.isdecimal() else label
