"""`GRID` of a study's file: lists of values for config keys, of which every combination is run."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdvideo.config import flatten_config
from kdvideo.report.comparison import short_names

__all__ = ["Point", "read_grid"]

_LONGEST = 40  # letters of a value in a run's name


@dataclass(frozen=True)
class Point:
    """One combination of a grid's values.

    Attributes:
        name: part of its runs' names, e.g. "BASE_LR-0.01.KD_TEMPERATURE-4".
        config: the values by dotted config key.
    """

    name: str
    config: Mapping[str, Any]


def read_grid(values: Any, *, elsewhere: Mapping[str, str], origin: str) -> list[Point]:
    """Returns all combinations of a grid's values. The last key changes first.

    Args:
        values: a list of values for each config key, nested or dotted, e.g. `{"SOLVER.BASE_LR": [0.01, 0.03]}`.
        elsewhere: config keys that are given in another way, with that way.
        origin: the beginning of errors, e.g. "study FILE".

    Raises:
        ValueError: there is no key, or a key has no list of different values, or it is set elsewhere.
    """
    example = "e.g. {SOLVER.BASE_LR: [0.01, 0.03]}"
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{origin}: GRID is {values!r}; it must be lists of values by config key, {example}")
    lists = flatten_config(values)
    for key, choices in lists.items():
        if key in elsewhere:
            raise ValueError(f"{origin}: {key} cannot be in GRID: give it by {elsewhere[key]}")
        if not isinstance(choices, list) or not choices:
            raise ValueError(f"{origin}: {key} of GRID is {choices!r}; it must be a list of values, {example}")
        if len(set(map(repr, choices))) < len(choices):
            raise ValueError(f"{origin}: {key} of GRID is {choices!r}; no value may be there twice")
    titles = short_names(list(lists))
    axes = [
        [(key, value, f"{titles[key]}-{label}") for value, label in zip(choices, _labels(choices), strict=True)]
        for key, choices in lists.items()
    ]
    return [
        Point(".".join(name for _, _, name in combination), {key: value for key, value, _ in combination})
        for combination in itertools.product(*axes)
    ]


def _labels(choices: Sequence[Any]) -> list[str]:
    """Returns the values as parts of names. Values that are too long or too alike are numbered from 1."""
    labels = [_label(value) for value in choices]
    if len(set(labels)) < len(labels) or not all(0 < len(label) <= _LONGEST for label in labels):
        return [str(number) for number in range(1, len(choices) + 1)]
    return labels


def _label(value: Any) -> str:
    """Returns a value's text in the letters of zoo names. A list has all its items in it, a path its last part."""
    if isinstance(value, list):
        return "+".join(map(_label, value))
    text = re.sub(r"[^A-Za-z0-9_+.-]+", "-", str(value).rstrip("/").rpartition("/")[2])
    return re.sub(r"\.{2,}", ".", text).strip(".-") if not isinstance(value, int | float) else text
