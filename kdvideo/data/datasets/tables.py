"""Reads the rows of the user's own lists: CSV with a header, or JSON lines."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simplejson

from kdvideo.data.datasets.records import read_lines
from kdvideo.data.datasets.walk import warn_once

__all__ = ["read_rows"]

_DELIMITERS = (",", ";", "\t")
_LABEL_LIKE = frozenset(
    (
        *("action", "activity", "categories", "category", "class", "class_id", "class_name", "classes", "classname"),
        *("cls", "gesture", "label_id", "label_name", "labels", "tag", "target", "y"),
    )
)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Reads the rows of a `.csv` or `.jsonl` file.

    Column names become lower case without blanks. The column `label` gives the classes. A list without it has none;
    columns that look like labels are then refused.

    Raises:
        ValueError: the file is malformed; the text names the file, and the line or the columns.
    """
    rows = _read_csv(file) if file.suffix == ".csv" else _read_jsonl(file)
    _check_labels(file, list(dict.fromkeys(name for row in rows for name in row if name)))
    return rows


def _read_csv(file: Path) -> list[dict[str, Any]]:
    lines = read_lines(file)
    delimiter = next((mark for mark in _DELIMITERS if "path" in _split_header(lines[0], mark)), ",")
    columns = _split_header(lines[0], delimiter)
    if columns.count("path") != 1 or columns.count("label") > 1:
        raise ValueError(
            f"{file} has the columns {', '.join(columns)}; it must have path, and label, each once, in its first line, "
            "divided by commas, semicolons or tabs"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            fields = _split(line, delimiter)
        except csv.Error as error:
            raise ValueError(
                f"{file} line {number} is {line!r}, which is no csv of one line: {error}; close its quotes, and "
                "list names with line breaks in a .jsonl file"
            ) from None
        if any(fields[len(columns) :]):
            raise ValueError(
                f"{file} line {number} has more fields than the header: put one that has a comma in quotes"
            )
        rows.append(dict(zip(columns, fields, strict=False)))
    return rows


def _split_header(line: str, delimiter: str) -> list[str]:
    try:
        return [name.casefold() for name in _split(line, delimiter)]
    except csv.Error:
        return [line]


def _split(line: str, delimiter: str) -> list[str]:
    """Returns the fields of one line. An open quote must not swallow the next lines."""
    return [
        field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    ]


def _read_jsonl(file: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(read_lines(file), start=1):
        try:
            row = simplejson.loads(line)
        except simplejson.JSONDecodeError as error:
            raise ValueError(f"{file} line {number} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f'{file} line {number} is {line!r}; it must be like {{"path": "a.mp4", "label": "run"}}')
        rows.append({name.strip().casefold(): value for name, value in row.items()})
    return rows


def _check_labels(file: Path, columns: Sequence[str]) -> None:
    """Refuses a list whose labels may be in another column.

    Warns of columns that are not used.
    """
    others = [name for name in columns if name not in ("path", "label")]
    if "label" in columns or not others:
        return
    if len(others) == 1 or not _LABEL_LIKE.isdisjoint(others):
        raise ValueError(
            f"{file} has the columns {', '.join(columns)} and none called label: call the column of the classes label, "
            "or leave path alone for videos without classes"
        )
    warn_once(f"{file} has no column label: its videos have no classes, and {', '.join(others)} are not used")
