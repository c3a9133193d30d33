"""Reads a study's file."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from kdvideo.config import flatten_config, get_defaults
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.config.shipped import find_config
from kdvideo.registry import did_you_mean
from kdvideo.study.grid import Point, read_grid
from kdvideo.study.plan import Setting, Study, build_config, plan_runs
from kdvideo.zoo.entry import check_name

__all__ = ["read_study"]

_WANTED = {"BASE": str, "CONFIG": dict, "ARCHITECTURES": list, "SEEDS": list, "EPOCHS": int, "SETTINGS": dict}
_SWEEP = {"CONFIG": {}, "ARCHITECTURES": [], "EPOCHS": 0, "SETTINGS": {}}  # what a grid without settings may leave out
_ELSEWHERE = {  # keys that no grid may have, and where a study has them
    "SEED": "SEEDS",
    "MODEL.BACKBONE": "ARCHITECTURES",
    "DATA.ROOT": "--data",
    "OUTPUT_DIR": "--output",
}
_OF_STUDENTS = {  # of a grid with settings, too
    "SOLVER.EPOCHS": "EPOCHS",
    "DATA.FRACTION": "FRACTIONS",
    "TEACHER.WEIGHTS": "ARCHITECTURES and TEACHER_EPOCHS, of which SETTINGS make the teachers",
}
_WITH_GROUPS = {"DATA.LIST_DIR": "HELD_OUT_GROUPS, which make the lists"}


def read_study(path: Path) -> Study:
    """Reads a study's yaml file, also by the name of one of kdvideo's.

    Its `BASE` is a path relative to the file's folder, or a name of `kdvideo configs`.

    Raises:
        ValueError: a key is missing or unknown, a value is not allowed, or a config key does not exist.
    """
    path = find_config(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"study {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"study {path} cannot be read: {' '.join(str(error).split())}") from None
    origin = f"study {path}"
    points, values = _take_grid(values, origin=origin)
    is_sweep = bool(points) and "SETTINGS" not in values
    _check_keys(
        values, Study, origin=str(path), given=("seed_order", "points"), optional=[*map(str.lower, _SWEEP)] * is_sweep
    )
    _check_types(values, origin=origin)
    common = {key.lower(): value for key, value in ({**_SWEEP, **values} if is_sweep else values).items()}
    common["base"] = find_config(common["base"], relative_to=path.parent)
    common["settings"] = [
        setting
        for name, given in common["settings"].items()
        for setting in _settings(name, given, points, common["architectures"], origin=f"{path}, SETTINGS.{name}")
    ]
    study = Study(**common, seed_order=tuple(common["seeds"]), points=points if is_sweep else ())
    _check(study, origin=origin)
    return study


def _check(study: Study, *, origin: str) -> None:
    least = 1 if study.points else 3
    if (study.epochs < least and not (study.points and study.epochs == 0)) or len(set(study.seeds)) < len(study.seeds):
        raise ValueError(
            f"{origin}: EPOCHS is {study.epochs} and SEEDS {study.seeds}; at least {least}, and no seed twice"
        )
    for run in plan_runs(study):
        _check_run_name(run.name, origin=origin)
        cfg = build_config(study, run)
        if not study.points:
            _check_comparable(cfg, origin=f"{origin}, {run.name}")


def _check_run_name(name: str, *, origin: str) -> None:
    """Checks that a run's name can be a folder's and a zoo entry's. It must not lead elsewhere."""
    try:
        check_name(name)
    except ValueError:
        raise ValueError(
            f"{origin}: {name!r} cannot be a run's name: it must have at most 150 letters, digits, '_', '+', '-' and "
            "single dots; choose another name in SETTINGS, or fewer keys in GRID"
        ) from None


def _take_grid(values: Any, *, origin: str) -> tuple[list[Point], Any]:
    """Returns a grid's points, none if there is no grid, and the file's other values."""
    if not isinstance(values, dict) or "GRID" not in values:
        return [], values
    others = {key: value for key, value in values.items() if key != "GRID"}
    elsewhere = {**_ELSEWHERE, **({"SOLVER.EPOCHS": "EPOCHS"} if "EPOCHS" in others else {})}
    if "SETTINGS" in others:
        elsewhere |= _OF_STUDENTS
    if others.get("HELD_OUT_GROUPS"):
        elsewhere |= _WITH_GROUPS
    return read_grid(values["GRID"], elsewhere=elsewhere, origin=origin), others


def _check_comparable(cfg: CfgNode, *, origin: str) -> None:
    """Checks that a run can be continued and compared."""
    values, defaults = flatten_config(cfg), flatten_config(get_defaults())
    for key in keys_with_role(Role.STUDY_DEFAULT):
        if values[key] != defaults[key]:
            raise ValueError(f"{origin}: {key} is {values[key]!r}; a study needs {defaults[key]!r}")


def _check_types(values: Mapping[str, Any], *, origin: str) -> None:
    for key in _WANTED.keys() & values.keys():
        kind = _WANTED[key]
        if not isinstance(values[key], kind) or not values[key]:
            raise ValueError(f"{origin}: {key} is {values[key]!r}; it must be a {kind.__name__} that is not empty")


def _settings(
    name: str, values: Any, points: Sequence[Point], architectures: Sequence[str], *, origin: str
) -> list[Setting]:
    """Returns a way to teach, once for each point of a grid."""
    setting = _read_setting(name, values, architectures, origin=origin)
    if not points:
        return [setting]
    return [
        replace(
            setting,
            name=f"{name}.{point.name}",
            config={**setting.config, **point.config},
            grid_keys=tuple(point.config),
        )
        for point in points
    ]


def _read_setting(name: str, values: Any, architectures: Sequence[str], *, origin: str) -> Setting:
    _check_keys(values, Setting, origin=origin, given=("name", "grid_keys"), optional=("pairs",))
    lower = {key.lower(): value for key, value in values.items()}
    everyone = [(student, teacher) for teacher in architectures for student in architectures]
    for key in ("pairs", "fraction_pairs"):
        lower[key] = [tuple(pair) for pair in lower.get(key, everyone if key == "pairs" else ())]
        for pair in lower[key]:
            if pair not in everyone:
                raise ValueError(f"{origin}: {pair} of {key.upper()} must be [STUDENT, TEACHER] of {architectures}")
    return Setting(name=name, **lower)


def _check_keys(
    values: Any, kind: type, *, origin: str, given: Sequence[str] = (), optional: Sequence[str] = ()
) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{origin} must be a mapping of keys, not {values!r}")
    known = {one.name.upper(): one for one in fields(kind) if one.name not in given}
    for key in values:
        if key not in known:
            allowed = [*known, "GRID"] if kind is Study else [*known]
            hint = did_you_mean(str(key), allowed) or f"choose one of {', '.join(allowed)}"
            raise ValueError(f"{origin}: unknown key {key!r}: {hint}")
    for key, one in known.items():
        if key not in values and one.default is one.default_factory and one.name not in optional:
            raise ValueError(f"{origin} has no {key}")
