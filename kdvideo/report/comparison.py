"""Puts runs side by side: the settings that differ among them, and what they reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdvideo.config import comparable_settings
from kdvideo.evaluation.metrics import parse_metric
from kdvideo.registry import did_you_mean
from kdvideo.report.runs import RunRecord

__all__ = ["Comparison", "compare_runs", "format_value", "short_names"]

_ABOUT = ("run", "state", "epoch")  # the columns of every comparison
_CLOCK = ("epoch", "step", "seconds", "final")  # of a line, but no metrics


@dataclass(frozen=True)
class Comparison:
    """A table of runs.

    Attributes:
        settings: the dotted config keys that differ among the runs, in the config's order.
        metrics: names of the metrics. Those of final lines come first, accuracies before others.
        rows: the values of each run by column. A run lacks the columns that it has no value for.
    """

    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, from left to right."""
        return (*_ABOUT, *self.settings, *self.metrics)

    def sorted_by(self, column: str) -> "Comparison":
        """Returns the same table in the order of a column: accuracies from the highest, others from the lowest.

        Runs without a value come last.

        Args:
            column: a column. The last part of a config key will do, if no other key ends so.

        Raises:
            ValueError: there is no such column.
        """
        name = {short: key for key, short in short_names(self.settings).items()}.get(column, column)
        if name not in self.columns:
            hint = did_you_mean(column, self.columns) or f"columns are {', '.join(self.columns)}"
            raise ValueError(f"--sort {column}: no run has it, or all have the same: {hint}")
        known = [row for row in self.rows if name in row]
        highest_first = name in self.metrics and parse_metric(name).is_accuracy
        known.sort(key=lambda row: _order(row[name]), reverse=highest_first)
        metrics = sorted(self.metrics, key=lambda metric: metric != name)  # nearest to the settings
        return Comparison(self.settings, tuple(metrics), (*known, *(row for row in self.rows if name not in row)))


def compare_runs(runs: Sequence[RunRecord]) -> Comparison:
    """Compares runs by their configs and by their final lines, or their last epochs if they have not finished.

    A run whose config cannot be read has no settings. A final line stands beside the line of the epoch that it names,
    which is the chosen one.
    """
    configs = [comparable_settings(run.config) if run.config else {} for run in runs]
    known = [config for config in configs if config]
    keys = dict.fromkeys(key for config in known for key in config)
    settings = tuple(key for key in keys if len({repr(config.get(key)) for config in known}) > 1)
    lines = [{**_line_beside_final(run), **run.final} for run in runs]
    final = {name for run in runs for name in run.final}
    names = dict.fromkeys(name for line in lines for name in line if name not in _CLOCK)
    metrics = sorted(names, key=lambda name: (name not in final, not parse_metric(name).is_accuracy))
    rows = tuple(
        {
            "run": run.name,
            "state": run.state,
            "epoch": int(line.get("epoch", 0)),
            **{key: config[key] for key in settings if key in config},
            **{name: line[name] for name in metrics if name in line},
        }
        for run, config, line in zip(runs, configs, lines, strict=True)
    )
    return Comparison(settings, tuple(metrics), rows)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Returns the last part of each dotted key, or the whole key if another one ends so."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)}


def format_value(value: Any, *, is_metric: bool) -> str:
    """Returns a value of a table as short text: metrics with three decimals, unless they are as small as a rate."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if is_metric and abs(value) >= 0.001 else f"{value:.4g}"
    return str(value) if value != "" else '""'


def _line_beside_final(run: RunRecord) -> dict[str, float]:
    if "epoch" not in run.final:
        return run.epochs[-1] if run.epochs else {}
    return next((line for line in reversed(run.epochs) if line.get("epoch") == run.final["epoch"]), {})


def _order(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else str(value)
