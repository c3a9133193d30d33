"""`kdvideo runs`: one table of the runs below a folder."""

import argparse
import csv
import io
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdvideo.foreign import printable
from kdvideo.paths import expand_user

if TYPE_CHECKING:
    from kdvideo.report.comparison import Comparison

__all__ = ["add_arguments", "format_runs"]

_WIDTH = 100  # columns of the terminal
_LONGEST, _LONGEST_NAME = 16, 44  # columns of a cell, of a run's name
_GAP = "  "


def add_arguments(commands: Any) -> None:
    """Adds `runs` to argparse's `commands`."""
    parser = commands.add_parser("runs", help="one table of runs: the settings that differ beside the metrics")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="runs, or folders of runs of any depth")
    parser.add_argument("--sort", metavar="COLUMN", help="a metric, a config key, state or epoch; the best come first")
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help="write all columns to this file, too")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.files import write_text
    from kdvideo.report.comparison import compare_runs
    from kdvideo.report.runs import find_runs

    runs = find_runs([expand_user(folder) for folder in options.folders], option="")
    if not runs:
        raise ValueError(f"no run below {', '.join(map(str, options.folders))} could be read: the warnings say why")
    table = compare_runs(runs)
    if options.sort:
        table = table.sorted_by(options.sort)
    if options.csv is not None:
        write_text(expand_user(options.csv), _to_csv(table))
    print("\n".join(format_runs(table)))


def format_runs(table: "Comparison") -> list[str]:
    """Returns the lines of a table in 100 columns.

    All settings are shown, in further blocks if one is too narrow, and the metrics that still fit. The last line names
    the others.
    """
    from kdvideo.report.comparison import short_names

    titles = short_names(table.settings)
    columns = {name: _column(name, titles.get(name, name), table) for name in table.columns}
    blocks = [["run", "state", "epoch"]]
    for name in table.columns[3:]:
        if _width([columns[one] for one in [*blocks[-1], name]]) > _WIDTH:
            if name in table.metrics[1:]:
                break
            blocks.append(["run"])
        blocks[-1].append(name)
    lines = [line for block in blocks for line in ["", *_format_block([columns[name] for name in block])]][1:]
    if left_out := [name for name in table.metrics if not any(name in block for block in blocks)]:
        few = f"{', '.join(left_out[:3])}{' ..' if len(left_out) > 3 else ''}"
        lines += ["", *textwrap.wrap(printable(f"{len(left_out)} more columns with --csv FILE.csv: {few}"), _WIDTH)]
    return [line.rstrip() for line in lines]


def _column(name: str, title: str, table: "Comparison") -> tuple[list[str], list[str], bool]:
    """Returns a column's title in lines, its cells, and whether they are flush right, as numbers are."""
    from kdvideo.report.comparison import format_value

    longest = _LONGEST_NAME if name == "run" else _LONGEST
    values = [row.get(name) for row in table.rows]
    if name == "run":
        values = [*_without_common([row["run"] for row in table.rows])]
    texts = [printable(format_value(value, is_metric=name in table.metrics)).replace("\n", "\\n") for value in values]
    cells = [text if len(text) <= longest else f"..{text[2 - longest :]}" for text in texts]  # ends tell paths apart
    are_numbers = all(value is None or isinstance(value, int | float) for value in values)
    return _break(printable(title), max([9, *map(len, cells)])), cells, are_numbers


def _without_common(names: list[str]) -> list[str]:
    """Removes the folders that all runs have in common. A single run keeps its name."""
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    return [os.path.relpath(name, common) for name in names] if common and len(names) > 1 else names


def _break(title: str, width: int) -> list[str]:
    """Splits a title after `_` and `.` into lines of a width, where it can be."""
    lines = [""]
    for part in re.findall(r"[^_.]*[_.]?", title):
        if lines[-1] and len(lines[-1]) + len(part.rstrip("_.")) > width:
            lines.append("")
        lines[-1] += part
    return lines


def _format_block(columns: Sequence[tuple[list[str], list[str], bool]]) -> list[str]:
    height = max(len(titles) for titles, _, _ in columns)
    padded = []
    for titles, cells, are_numbers in columns:
        texts = [*[""] * (height - len(titles)), *titles, *cells]
        width = max(map(len, texts))
        padded.append([text.rjust(width) if are_numbers else text.ljust(width) for text in texts])
    return [_GAP.join(texts) for texts in zip(*padded, strict=True)]


def _width(columns: Sequence[tuple[list[str], list[str], bool]]) -> int:
    return sum(max(map(len, [*titles, *cells])) for titles, cells, _ in columns) + len(_GAP) * (len(columns) - 1)


def _to_csv(table: "Comparison") -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, table.columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table.rows)
    return stream.getvalue()
