"""Results as lines of JSON, written as soon as they are there: what is measured is kept when the time is up."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["read_lines", "write_line"]


def write_line(path: Path | None, line: Mapping[str, Any]) -> None:
    """Adds a line to a file, whose folder is made where it is missing. None writes nothing."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
