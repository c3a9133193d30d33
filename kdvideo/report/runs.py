"""What the report knows of runs: their folders' config, metrics and facts."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdvideo.engine.hooks import METRICS_NAME
from kdvideo.engine.publish import FACTS_NAME
from kdvideo.foreign import parse_json, parse_yaml, read_text

__all__ = ["RunRecord", "find_runs", "finite", "parse_config"]

logger = logging.getLogger("kdvideo")
_MOST_BYTES = 256 << 20  # of a run's metrics: a million epochs


@dataclass(frozen=True)
class RunRecord:
    """One run's folder, as far as it has come.

    Attributes:
        name: of the folder, with so much of its path that runs differ.
        config: the resolved config.
        epochs: the lines of `metrics.jsonl`, numbers only, without the final one.
        facts: what an entry would say of it; empty until the run has finished.
    """

    name: str
    config: dict[str, Any]
    epochs: list[dict[str, float]]
    facts: dict[str, Any]


def find_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Every run in or below the folders, by name; what cannot be read is left out with a warning.

    Raises:
        ValueError: a folder does not exist, or no run is in or below it.
    """
    records = []
    for folder in folders:
        paths = sorted(path.parent for path in folder.rglob(METRICS_NAME))
        if not paths:
            raise ValueError(f"--runs {folder} has no run in it: give a run's OUTPUT_DIR, or a folder of such folders")
        for path in paths:
            inner = path.relative_to(folder)
            name = folder.resolve().name if inner == Path() else f"{folder.resolve().name}/{inner.as_posix()}"
            try:
                records.append(_read_run(path, name))
            except (OSError, ValueError) as error:
                logger.warning("left out: %s: %s", path, error)
    return records


def parse_config(text: str) -> dict[str, Any]:
    """A config's yaml as nested mappings; empty where it is none."""
    try:
        config = parse_yaml(text)
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def finite(values: Any) -> dict[str, float]:
    """The finite numbers of a mapping, by name: a page's JSON knows no NaN, and `true` is no measurement."""
    if not isinstance(values, dict):
        return {}
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool) and math.isfinite(value)}


def _read_run(folder: Path, name: str) -> RunRecord:
    config = folder / "config.yaml"
    lines = [_parse_line(line) for line in read_text(folder / METRICS_NAME, most_bytes=_MOST_BYTES).splitlines()]
    facts = folder / FACTS_NAME
    return RunRecord(
        name=name,
        config=parse_config(read_text(config)) if config.exists() else {},
        epochs=[finite(line) for line in lines if "epoch" in line and "final" not in line],
        facts=_parse_line(read_text(facts)) if facts.exists() else {},
    )


def _parse_line(text: str) -> dict[str, Any]:
    try:
        values = parse_json(text)
    except ValueError:
        return {}  # of a run that is writing it, or was killed while it did
    return values if isinstance(values, dict) else {}
