"""Writes the comparison as Markdown, and puts it between the markers of a page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rows import PROBE, RETRIEVAL, Measured, Row, missing_runs

from kdvideo.tables import markdown_table

__all__ = ["END", "START", "between_markers", "write_page"]

START, END = "<!-- runs -->\n", "<!-- end of runs -->\n"
UNKNOWN = "-"  # minutes
Lines = Sequence[Mapping[str, Any]]


def between_markers(page: str, text: str) -> str:
    """Replaces what is between a page's markers."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page lacks the markers {START.strip()} and {END.strip()}: add both")
    return f"{before}{START}\n{text}\n{END}{after}"


def write_page(
    rows: Sequence[Row],
    *,
    summary: Lines,
    compared: Lines,
    aims: Lines,
    finetuned: Lines,
    selection: Mapping[str, Measured | None],
    teacher: Mapping[str, float],
) -> str:
    """Returns all tables, and above them what is missing."""
    own = f"The teacher's own: retrieval@1 {teacher[RETRIEVAL]:.3f}, linear probe {teacher[PROBE]:.3f}."
    parts = [_progress(rows, selection), own + _minutes(teacher)]
    tables = (
        ("Rows", _summary(summary)),
        ("Against PCL alone and the teacher", _compared(compared)),
        ("Aims of pure distillation", _aims(aims)),
        ("Finetuned", _finetuned(finetuned)),
        ("The choice of the losses", _selection(selection)),
    )
    for title, table in tables:
        parts += [f"## {title}", markdown_table(table).removesuffix("\n")] if len(table) > 1 else []
    return "\n\n".join(parts) + "\n"


def _progress(rows: Sequence[Row], selection: Mapping[str, Measured | None]) -> str:
    missing, planned = missing_runs(rows, selection), sum(len(row.planned) for row in rows) + len(selection)
    if not missing:
        return f"All {planned} runs have ended."
    groups = Counter(name if name.startswith("selection.") else name.rsplit(".", 2)[0] for name in missing)
    names = ", ".join(f"{name} ({count})" for name, count in groups.items())
    return (
        f"**Partial**: {planned - len(missing)} of {planned} runs have ended. A figure is of the seeds that its row "
        f"names, a difference of the paired ones. Missing, with the number of runs: {names}."
    )


def _minutes(teacher: Mapping[str, float]) -> str:
    if (minutes := teacher.get("cpu_minutes_of_answers")) is None:
        return ""
    return f" Its answers took about {minutes:.1f} minutes, once for all students; the minutes below are without them."


def cell(value: Mapping[str, float | None], digits: int = 3, sign: str = "") -> str:
    """Formats a mean with its interval. Without a mean, the cell is empty."""
    if value["mean"] is None:
        return ""
    mean = f"{value['mean']:{sign}.{digits}f}"
    return (
        mean
        if value["low"] is None
        else f"{mean} ({value['low']:{sign}.{digits}f} to {value['high']:{sign}.{digits}f})"
    )


def _minutes_cell(value: Mapping[str, float | None]) -> str:
    return cell(value, 1) or UNKNOWN


def _summary(lines: Lines) -> list[list[str]]:
    head = ["network", "setting", "number of seeds", "retrieval@1", "linear probe", "minutes", "epochs to PCL's level"]
    return [
        head,
        *(
            [
                *(line["architecture"], line["setting"], str(line["seeds"])),
                *(cell(line["retrieval_at_1"]), cell(line["linear_probe"])),
                *(_minutes_cell(line["minutes"]), cell(line["epochs_to_pcl_level"], 1)),
            ]
            for line in lines
        ),
    ]


def _compared(lines: Lines) -> list[list[str]]:
    head = ["network", "setting", "seeds", "of the teacher's retrieval@1", "of its probe", "paired seeds"]
    head += ["retrieval@1 minus PCL's", "linear probe minus PCL's", "of PCL's epochs", "null"]
    return [
        head,
        *(
            [
                *(line["architecture"], line["setting"], _seeds(line["seeds"])),
                *(cell(line["retrieval_at_1_of_teacher"]), cell(line["linear_probe_of_teacher"])),
                _seeds(line["retrieval_at_1_minus_pcl"]["seeds"]),
                *(cell(line["retrieval_at_1_minus_pcl"], 3, "+"), cell(line["linear_probe_minus_pcl"], 3, "+")),
                *(cell(line["epoch_ratio"], 2), cell(line["null"], 2)),
            ]
            for line in lines
            if line.get("pcl", line["setting"]) != line["setting"]
        ),
    ]


def _aims(lines: Lines) -> list[list[str]]:
    words = {True: "met", False: "missed", None: "not yet known"}
    return [
        ["network", "setting", "seeds", "aim", "value", ""],
        *(
            [line["architecture"], line["setting"], _seeds(line["seeds"]), line["aim"], cell(line), words[line["met"]]]
            for line in lines
        ),
    ]


def _finetuned(lines: Lines) -> list[list[str]]:
    return [
        ["network", "from", "labels", "seeds", "accuracy", "paired seeds", "minus from scratch", "minutes"],
        *(
            [
                *(line["architecture"], line["start"], f"{line['labels']:.0%}", _seeds(line["seeds"])),
                *(cell(line["accuracy"]), _seeds(line["accuracy_minus_scratch"]["seeds"])),
                *(cell(line["accuracy_minus_scratch"], 3, "+"), _minutes_cell(line["minutes"])),
            ]
            for line in lines
        ),
    ]


def _selection(found: Mapping[str, Measured | None]) -> list[list[str]]:
    head = ["r3d_10, seed 0, held-out training groups", "retrieval@1", "linear probe", "minutes"]
    body = [
        [
            *(name, f"{one.metrics[RETRIEVAL]:.3f}", f"{one.metrics[PROBE]:.3f}"),
            UNKNOWN if one.minutes is None else f"{one.minutes:.1f}",
        ]
        for name, one in found.items()
        if one is not None
    ]
    return [head, *body]


def _seeds(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, seeds))
