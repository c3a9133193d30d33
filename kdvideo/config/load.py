"""Reads configs: `_BASE_` yaml files, then KEY VALUE pairs, every key and type checked on the way in.

fvcore's `CfgNode` merges files and pairs, too. We do it ourselves because of what it makes of mistakes and of types:

- An unknown key is a KeyError or an AssertionError that names neither the file nor the keys that are near.
- A file that is its own `_BASE_` ends in a RecursionError, and one of another's that holds no mapping in a TypeError.
- A whole number is refused for a float (`BASE_LR: 1`), and text is evaluated as Python: a run called 2024 is refused.
- Its yaml reader builds whatever a text's aliases stand for (`kdvideo.foreign` counts first).

What is equal in both, nodes, copies and `dump`, is CfgNode's.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config.defaults import get_defaults
from kdvideo.config.shipped import find_config
from kdvideo.config.teachers import place_in_block
from kdvideo.files import write_text
from kdvideo.foreign import parse_yaml
from kdvideo.registry import did_you_mean

__all__ = ["dump_config", "flatten_config", "load_config", "merge_config"]


def load_config(
    config_file: Path | str | None = None, overrides: Sequence[str] = (), *, start: CfgNode | None = None
) -> CfgNode:
    """Reads the defaults, then the file with its `_BASE_`s, then the overrides.

    Args:
        config_file: a yaml file, or the name of a config that comes with kdvideo, see `kdvideo configs`. Its `_BASE_`,
            if any, is a path relative to it, or such a name.
        overrides: `KEY VALUE` pairs in a flat list, e.g. `["SOLVER.EPOCHS", "30"]`; values are read as yaml.
        start: what to begin with in place of the defaults; it is not changed.

    Raises:
        ValueError: an unknown key or a value of the wrong type; a file that is missing or no yaml mapping.
    """
    cfg = get_defaults() if start is None else start.clone()
    if config_file is not None:
        merge_config(cfg, _read_yaml_with_base(find_config(config_file)), origin=str(config_file))
    if len(overrides) % 2:
        raise ValueError(f"overrides come in KEY VALUE pairs, but {overrides[-1]!r} has no value")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _set(cfg, key, _parse_override(cfg, key, text), origin="the command line")
    return cfg


def dump_config(cfg: CfgNode, path: Path) -> None:
    """Writes the resolved config as yaml. `load_config` reads it back to the same values."""
    write_text(path, cfg.dump())


def _read_yaml_with_base(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ValueError(f"config file {path} is its own _BASE_")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except ValueError as error:
        raise ValueError(f"config file {path} is no valid yaml: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"config file {path} must hold a mapping of keys, not a {type(values).__name__}")
    base = values.pop("_BASE_", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ValueError(f"config file {path} has _BASE_ {base!r}; it must be a path or a name")
    below = find_config(base, relative_to=path.parent)
    return _merge_dicts(_read_yaml_with_base(below, (*seen, path.resolve())), values)


def _merge_dicts(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge_dicts(merged[key], value) if both_mappings else value
    return merged


def merge_config(cfg: CfgNode, values: Mapping[str, Any], *, origin: str) -> None:
    """Sets keys of nested sections, each checked.

    Args:
        cfg: is changed.
        values: e.g. `{"SEED": 1, "SOLVER": {"EPOCHS": 20}}`.
        origin: where the values come from, for error messages.

    Raises:
        ValueError: an unknown key, or a value of the wrong type.
    """
    for key, value in flatten_config(values).items():
        _set(cfg, key, value, origin=origin)


def flatten_config(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested sections as one mapping of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten_config(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _parse_override(cfg: CfgNode, key: str, text: str) -> Any:
    in_block = place_in_block(key)
    if isinstance(flatten_config(cfg).get(f"TEACHER.{in_block[1]}" if in_block else key), str):
        return text  # as it is: yaml would read 007, yes or 2024-01-01 as something else
    try:
        return parse_yaml(text)
    except ValueError:
        return text  # no yaml value; the type check says what it must be


def _set(cfg: CfgNode, key: str, value: Any, *, origin: str) -> None:
    known = flatten_config(cfg)
    if key == "TEACHERS":
        cfg.TEACHERS = _read_blocks(value, origin=origin)
        return
    if in_block := place_in_block(key):
        _set_in_block(cfg, *in_block, value, origin=origin)
        return
    if key not in known:
        allowed = f"sections are {', '.join(sorted(cfg))}; one of your own comes with --import FILE.py that adds it"
        hint = did_you_mean(key, known) or allowed
        raise ValueError(f"unknown config key {key!r} from {origin}: {hint}")
    *sections, leaf = key.split(".")
    node = cfg
    for section in sections:
        node = node[section]
    node[leaf] = _coerce(key, value, default=known[key])


def _read_blocks(value: Any, *, origin: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(block, dict) for block in value):
        raise ValueError(
            f"TEACHERS is {value!r} in {origin}; it must be a list of TEACHER blocks, e.g. "
            "[{WEIGHTS: NAME}, {WEIGHTS: OTHER, LOSSES: [embedding_distillation]}]"
        )
    return [_read_block(block, number=number, origin=origin) for number, block in enumerate(value, start=1)]


def _read_block(block: Mapping[str, Any], *, number: int, origin: str) -> dict[str, Any]:
    """Returns the keys that a block sets, in an order that does not depend on the file's."""
    defaults, read = flatten_config(get_defaults()["TEACHER"]), {}
    for leaf, value in block.items():
        name = f"TEACHERS.{number}.{leaf}"
        if leaf not in defaults:
            hint = did_you_mean(str(leaf), defaults) or f"keys of a teacher are {', '.join(defaults)}"
            raise ValueError(f"unknown config key {name!r} from {origin}: {hint}")
        read[leaf] = _coerce(name, value, default=defaults[leaf])
    return dict(sorted(read.items()))


def _set_in_block(cfg: CfgNode, number: int, leaf: str, value: Any, *, origin: str) -> None:
    blocks = list(cfg.TEACHERS)
    if not 1 <= number <= len(blocks) + 1:
        raise ValueError(
            f"TEACHERS.{number}.{leaf} from {origin}: there are {len(blocks)} TEACHERS, counted from 1; the next one "
            f"is TEACHERS.{len(blocks) + 1}"
        )
    blocks += [{}] * (number - len(blocks))
    blocks[number - 1] = _read_block({**blocks[number - 1], leaf: value}, number=number, origin=origin)
    cfg.TEACHERS = blocks


def _coerce(key: str, value: Any, *, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):  # yaml reads 1e-3 as a string
            value = float(value)
    if isinstance(default, str) and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a folder or a name made of digits
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} is {value!r}; it must be a finite number")
    if type(value) is not type(default):
        given, wanted = type(value).__name__, type(default).__name__
        raise ValueError(f"{key} is {value!r} of type {given}; it must be of type {wanted}")
    if isinstance(default, list):
        first = default[0] if default else ""  # a list that is empty by default has names
        return [_coerce(f"{key}[{i}]", item, default=first) for i, item in enumerate(value)]
    return value
