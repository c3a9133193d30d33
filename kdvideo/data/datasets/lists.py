"""Datasets given by one's own lists: CSV or JSON lines of paths and labels."""

import csv
from pathlib import Path
from typing import Any

import simplejson

from kdvideo.data.datasets.records import (
    Subset,
    VideoFinder,
    VideoRecord,
    check_inside,
    check_only_split,
    read_lines,
)
from kdvideo.registry import DATASETS

__all__ = ["video_lists"]


@DATASETS.register()
def video_lists(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists `train` and `test`, each a `.csv` with the columns path and label or a `.jsonl` with these keys.

    Labels that are all whole numbers are class ids; others are names, numbered alphabetically over the training list.
    Lists without labels give a dataset without classes.

    Args:
        root: the folder that the paths are relative to.
        list_dir: the folder of the lists; `root` unless given.
        split: 1.
        subset: which list.

    Raises:
        ValueError: a missing list or column, a path that leaves `root`, labels on some lines only, an unknown label.
    """
    check_only_split(split, "video_lists")
    finder = VideoFinder(root)
    list_dir = list_dir or root
    listed = _read_list(list_dir, subset)
    class_ids = _number_classes([label for _, label in _read_list(list_dir, "train")])
    unknown = sorted({label for _, label in listed} - set(class_ids), key=str)
    if unknown:
        raise ValueError(f"{list_dir}: the {subset} list has the label {unknown[0]!r}, which the training list lacks")
    named = not all(label is None or _is_number(label) for label in class_ids)
    return [
        VideoRecord(path=finder.find(name), name=name, class_id=class_ids[label], class_name=label if named else None)
        for name, label in listed
    ]


def _read_list(list_dir: Path, subset: Subset) -> list[tuple[str, str | None]]:
    """Paths and labels; a label is None in a list without labels."""
    files = [file for ending in ("csv", "jsonl") if (file := list_dir / f"{subset}.{ending}").is_file()]
    if len(files) != 1:
        raise ValueError(f"{list_dir} must hold either {subset}.csv or {subset}.jsonl: set DATA.LIST_DIR")
    (file,) = files
    rows = _read_csv(file) if file.suffix == ".csv" else _read_jsonl(file)
    listed: list[tuple[str, str | None]] = []
    for number, row in enumerate(rows, start=1):
        origin = f"{file} video {number}"
        path, label = row.get("path"), row.get("label")
        if not isinstance(path, str):
            raise ValueError(f"{origin} has the path {path!r}; it must be a text")
        listed.append((check_inside(path, origin=origin), None if label in (None, "") else str(label)))
    if not listed:
        raise ValueError(f"list file {file} names no video")
    without = [name for name, label in listed if label is None]
    if without and len(without) < len(listed):
        raise ValueError(f"{file} gives {len(without)} of {len(listed)} videos no label, the first {without[0]}")
    return listed


def _read_csv(file: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(read_lines(file))
    if "path" not in (reader.fieldnames or ()):
        raise ValueError(f"{file} has the columns {', '.join(reader.fieldnames or ())}; it must have path, and label")
    return list(reader)


def _read_jsonl(file: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_lines(file), start=1):
        try:
            row = simplejson.loads(line)
        except simplejson.JSONDecodeError as error:
            raise ValueError(f"{file} line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f'{file} line {number} is {line!r}; it must be like {{"path": "a.mp4", "label": "run"}}')
        rows.append(row)
    return rows


def _number_classes(labels: list[str | None]) -> dict[str | None, int | None]:
    names = sorted({label for label in labels if label is not None})
    if not names:
        return {None: None}
    if all(map(_is_number, names)):
        return {name: int(name) for name in names}
    return {name: i for i, name in enumerate(names)}


def _is_number(label: str) -> bool:
    return label.isascii() and label.isdecimal()
