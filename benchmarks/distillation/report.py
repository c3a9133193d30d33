"""Writes what the finished runs of the comparison say: summary.json, comparison.json and the page's tables.

    python benchmarks/distillation/report.py OUT [--to docs/results/distillation]

`summary.json` has a row per architecture and setting. `epochs_to_pcl_level` is the first epoch whose running mean of
retrieval@1 reaches the end level of the better of the two PCL settings; a run that never reaches it counts as one epoch
later than its last. `comparison.json` has the differences to PCL, seed by seed, what the same estimate says of PCL's
own seeds (`null`), which aims are met, finetuning, the choice of the losses, and the runs that are missing. The tables
go between the markers of the page, TO.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from page import between_markers, write_page  # noqa: E402
from rows import (  # noqa: E402
    aims_of,
    compared_row,
    finetuned_rows,
    is_pure,
    missing_runs,
    read_rows,
    read_selection,
    summary_row,
)

from kdvideo.files import write_text  # noqa: E402


def write_report(out: Path, target: Path) -> str:
    """Writes the files and the page's tables.

    Args:
        out: the folder of all runs.
        target: the folder to write to. The page is beside it, with its name and `.md`.

    Returns:
        The tables.
    """
    teacher = json.loads((out / "teacher.json").read_text(encoding="utf-8"))
    teacher.pop("cpu_seconds_of_answers", None)  # of an earlier version, which asked a store that was there
    rows = read_rows(out)
    curves = [row for row in rows if row.found and not row.setting.startswith("finetuned-")]
    summary = [summary_row(row, curves, teacher) for row in curves]
    compared = [compared_row(row, curves, teacher) for row in curves]
    aims = [
        {key: line[key] for key in ("architecture", "setting", "seeds")} | aim
        for line in compared
        if is_pure(line["setting"])
        for aim in aims_of(line)
    ]
    finetuned, selection = finetuned_rows(rows), read_selection(out)
    comparison = {
        "missing": missing_runs(rows, selection),
        "teacher": teacher,
        "rows": compared,
        "aims": aims,
        "finetuned": finetuned,
        "selection": {name: {**one.metrics, "minutes": one.minutes} for name, one in selection.items() if one},
    }
    target.mkdir(parents=True, exist_ok=True)
    _write_json(target / "summary.json", summary)
    _write_json(target / "comparison.json", comparison)
    tables = write_page(
        rows,
        summary=summary,
        compared=compared,
        aims=aims,
        finetuned=finetuned,
        selection=selection,
        teacher=teacher,
    )
    page = target.with_suffix(".md")
    write_text(page, between_markers(page.read_text(encoding="utf-8"), tables))
    return tables


def _write_json(path: Path, values: list[Mapping[str, Any]] | list[dict[str, Any]] | dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--to", type=Path, default=Path("docs/results/distillation"))
    options = parser.parse_args()
    print(write_report(options.out, options.to))


if __name__ == "__main__":
    main()
