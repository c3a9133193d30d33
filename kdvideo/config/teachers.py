"""Several teachers: TEACHERS is a list of TEACHER blocks, and TEACHER alone is the short form for one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fvcore.common.config import CfgNode

from kdvideo.config.defaults import get_defaults
from kdvideo.config.naming import naming_keys

__all__ = ["naming_teacher", "place_in_block", "teacher_configs", "with_sampling"]

_PLACE = re.compile(r"TEACHERS\.(\d+)\.(\w+)")


def teacher_configs(cfg: CfgNode) -> list[CfgNode]:
    """Returns one config for each teacher, which has it as TEACHER and no TEACHERS. The list is empty without teachers.

    A block sets some keys of TEACHER. The others have their defaults.
    """
    if not cfg.TEACHERS:
        return [cfg] if cfg.TEACHER.WEIGHTS else []
    return [_with_teacher(cfg, block) for block in cfg.TEACHERS]


def _with_teacher(cfg: CfgNode, block: Mapping[str, Any]) -> CfgNode:
    one = cfg.clone()
    one.defrost()
    one.TEACHERS, one.TEACHER = [], get_defaults().TEACHER
    for leaf, value in block.items():
        one.TEACHER[leaf] = value
    return one


def with_sampling(cfg: CfgNode, frames: Sequence[str]) -> CfgNode:
    """Returns a copy whose teachers have these values of SAMPLING."""
    chosen = cfg.clone()
    chosen.defrost()
    if chosen.TEACHERS:
        pairs = zip(chosen.TEACHERS, frames, strict=True)
        chosen.TEACHERS = [dict(sorted({**block, "SAMPLING": one}.items())) for block, one in pairs]
        chosen.TEACHER.SAMPLING = "shared"  # as of runs without TEACHER
    elif frames or chosen.TEACHER.SAMPLING == "auto":
        [chosen.TEACHER.SAMPLING] = frames or ["shared"]
    return chosen


def place_in_block(key: str) -> tuple[int, str] | None:
    """Returns the number, counted from 1, and the key in the block for "TEACHERS.2.LOSSES". None for any other key."""
    found = _PLACE.fullmatch(key)
    return (int(found[1]), found[2]) if found else None


@contextmanager
def naming_teacher(cfg: CfgNode, number: int) -> Iterator[None]:
    """Names the keys of one of TEACHERS in errors, as "TEACHERS.2.LOSSES". Without TEACHERS, they stay as they are.

    Args:
        cfg: the whole config.
        number: the teacher's, counted from 1.
    """
    try:
        with naming_keys():
            yield
    except ValueError as error:
        if cfg.TEACHERS:
            error.args = tuple(re.sub(r"\bTEACHER\.", f"TEACHERS.{number}.", str(each)) for each in error.args)
        raise
