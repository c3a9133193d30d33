"""Reads what the report shows of runs: the config, metrics and facts in their folders."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdvideo.engine.run_folder import RunFolder
from kdvideo.zoo.entry import Facts

__all__ = ["RunRecord", "find_runs", "finite", "or_empty"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class RunRecord:
    """One run's folder in its current state.

    Attributes:
        name: the folder's name, with enough of its path to tell runs apart.
        config: the resolved config.
        epochs: the lines of `metrics.jsonl` with numbers only, without the final line.
        facts: the facts for the run's zoo entry. None until it has finished.
        final: the numbers of the final line. Empty until the run has been measured to its end.
        state: see `RunFolder.state`.
    """

    name: str
    config: dict[str, Any]
    epochs: list[dict[str, float]]
    facts: Facts | None
    final: dict[str, float] = field(default_factory=dict)
    state: str = ""


def find_runs(folders: Sequence[Path], *, option: str = "--runs ") -> list[RunRecord]:
    """Finds every run in or below the folders.

    Unreadable runs are left out with a warning.

    Args:
        folders: the folders of runs, or of folders of runs.
        option: what the command line names the folders by, for errors.

    Raises:
        ValueError: a folder does not exist, or there is no run in it or below it.
    """
    records = []
    for folder in folders:
        runs = RunFolder.find_all(folder)
        if not runs:
            raise ValueError(f"{option}{folder} has no run in it: give a run's OUTPUT_DIR, or a folder of such folders")
        for run in runs:
            inner = run.path.relative_to(folder)
            name = folder.resolve().name if inner == Path() else f"{folder.resolve().name}/{inner.as_posix()}"
            try:
                records.append(_read_run(run, name))
            except (OSError, ValueError) as error:
                logger.warning("left out: %s: %s", run.path, error)
    return records


def finite(values: Any) -> dict[str, float]:
    """Returns the finite numbers of a mapping, by name. A page's JSON has no NaN, and `true` is not a measurement."""
    if not isinstance(values, dict):
        return {}
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool) and math.isfinite(value)}


def _read_run(run: RunFolder, name: str) -> RunRecord:
    try:
        facts = run.facts()
    except ValueError:
        facts = None  # damaged: the rest of the run is still shown
    begun = run.metrics.exists()  # else its first epoch lasts
    return RunRecord(
        name=name,
        config=or_empty(run.config),
        epochs=[finite(line) for line in run.epochs()] if begun else [],
        facts=facts,
        final=finite(run.final()) if begun else {},
        state=run.state,
    )


def or_empty(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the result of `read`, or {} if the file is damaged. The rest of the page is still shown."""
    try:
        return read()
    except ValueError:
        return {}
