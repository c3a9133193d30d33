"""What the summaries of runs share: reading their metrics, means with intervals, tables."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import simplejson

from kdvideo.tables import markdown_rows

SEEDS = (0, 1, 2)
T_95 = 4.303  # Student's t for three values, two-sided 95 %


def read_lines(folder: Path) -> tuple[list[dict], dict]:
    """The epochs' lines and the final one."""
    lines = [simplejson.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "final" not in line], lines[-1]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of three values, and the ends of its 95 % interval."""
    mean, half = statistics.mean(values), T_95 * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def with_interval(values: Sequence[float], *, sign: str = "+") -> str:
    """Mean and 95 % interval over seeds, as text; `sign` "" leaves the plus away."""
    mean, low, high = (f"{value:{sign}.3f}" for value in interval(values))
    return f"{mean} ({low} to {high})"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Formats a table in markdown."""
    return markdown_rows([header, ["---"] * len(header), *rows]).removesuffix("\n")
