"""`kdvideo teach`."""

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import add_device, part_number
from kdvideo.cli.process import long_work

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode

    from kdvideo.engine.teach import Taught

__all__ = ["add_arguments"]

_DECIDING = [
    *("DATA.UNLABELLED_ROOT", "DATA.SPLIT", "DATA.LIST_DIR", "DATA.MANIFEST", "DATA.MAX_BAD_FRACTION"),
    *("DATA.TIME_LIMIT", "TEACHER.CLIP_SPEC", "ZOO.DIR", "SOLVER.AMP", "SOLVER.DETERMINISTIC"),
]


def add_arguments(commands: Any) -> None:
    """Adds `teach` to argparse's `commands`."""
    parser = commands.add_parser("teach", help="have a teacher answer to all videos once, before students are trained")
    parser.add_argument("root", type=Path, metavar="DATA", help="the dataset's folder, DATA.ROOT of the students' runs")
    parser.add_argument("--teacher", default="", metavar="NAME", help="zoo name, path or URL: TEACHER.WEIGHTS")
    parser.add_argument("--views", type=int, metavar="K", help="clips of a video: TEACHER.VIEWS")
    parser.add_argument("--config-file", type=Path, help="a config of the students; its DATA and TEACHER are used")
    parser.add_argument("--part", type=part_number, default=(1, 1), metavar="I/N", help="the I-th of N parts, I >= 1")
    add_import_argument(parser)
    add_device(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.engine.teach import teach

    cfg = _configure(options)
    with long_work():
        taught = teach(cfg, part=options.part, device_name=options.device)
    if os.environ.get("RANK", "0") == "0":
        print(_describe(cfg, taught))


def _configure(options: argparse.Namespace) -> "CfgNode":
    from kdvideo.config import load_config
    from kdvideo.registry import TASKS

    given = ["DATA.ROOT", str(options.root)]
    given += ["TEACHERS", "[]", "TEACHER.WEIGHTS", options.teacher] if options.teacher else []
    given += ["TEACHER.VIEWS", str(options.views)] if options.views is not None else []
    cfg = load_config(options.config_file, [*options.overrides, *given])
    if not cfg.TEACHER.WEIGHTS:
        raise ValueError("no teacher is given: name one by --teacher, e.g. --teacher hf:OWNER/REPO")
    if cfg.TEACHER.VIEWS < 1:
        raise ValueError(f"--views is {cfg.TEACHER.VIEWS}; it must be at least 1, e.g. --views 6")
    task = TASKS.get(cfg.TASK.NAME)
    if not (task.needs_teacher or task.takes_teacher):
        cfg.TASK.NAME = "distill"
    return cfg


def _describe(cfg: "CfgNode", taught: "Taught") -> str:
    """Returns the last line: what is there, and which keys make a student use it."""
    views = f"{taught.num_views} views of {taught.num_videos} videos"
    if taught.num_missing:
        return (
            f"{taught.num_missing} answers to {views} are missing in {taught.store.directory}: do the other parts, or "
            "run this again"
        )
    settings = ["TASK.NAME", cfg.TASK.NAME, "TEACHER.WEIGHTS", cfg.TEACHER.WEIGHTS]
    own = {"class_logits", "tokens"} & {*taught.store.shapes}
    losses = cfg.TEACHER.LOSSES if own else ["embedding_distillation"]
    settings += ["TEACHER.VIEWS", str(taught.num_views), "TEACHER.LOSSES", f"[{', '.join(losses)}]"]
    settings += ["DATA.NAME", cfg.DATA.NAME, "DATA.ROOT", cfg.DATA.ROOT]
    settings += _unusual(cfg)
    return f"all answers to {views} are in {taught.store.directory}: kdvideo train {shlex.join(settings)}"


def _unusual(cfg: "CfgNode") -> list[str]:
    """Returns the keys that decide about videos, teacher and store, where their values are not the defaults."""
    from kdvideo.config import load_config

    usual, changed = load_config(), []
    for name in _DECIDING:
        section, _, leaf = name.partition(".")
        if (value := cfg[section][leaf]) != usual[section][leaf]:
            changed += [name, str(value)]
    return changed
