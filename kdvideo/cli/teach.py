"""`kdvideo teach`."""

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import add_device, part_number
from kdvideo.cli.process import long_work

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode

    from kdvideo.engine.teach import Taught

__all__ = ["add_arguments"]


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
    from kdvideo.config.teachers import teacher_configs
    from kdvideo.needs import needs_of

    given = ["DATA.ROOT", str(options.root)]
    given += ["TEACHERS", "[]", "TEACHER.WEIGHTS", options.teacher] if options.teacher else []
    cfg = load_config(options.config_file, [*options.overrides, *given])
    if not (cfg.TEACHER.WEIGHTS or cfg.TEACHERS):
        raise ValueError("no teacher is given: name one by --teacher, e.g. --teacher hf:OWNER/REPO")
    if options.views is not None:
        cfg.TEACHERS = [{**block, "VIEWS": options.views} for block in cfg.TEACHERS]
        cfg.TEACHER.VIEWS = 0 if cfg.TEACHERS else options.views
    views = max(one.TEACHER.VIEWS for one in teacher_configs(cfg))
    if views < 1:
        raise ValueError(f"--views is {views}; it must be at least 1, e.g. --views 6")
    if needs_of(cfg.TASK.NAME).teacher == "no":
        cfg.TASK.NAME = "distill"
    return cfg


def _describe(cfg: "CfgNode", taught: Sequence["Taught"]) -> str:
    """Returns the last lines: what is there, and which keys make a student use it."""
    lines = "\n".join(map(_describe_store, taught))
    if any(one.num_missing for one in taught):
        return lines
    settings = ["TASK.NAME", cfg.TASK.NAME, *_teacher_settings(cfg, taught)]
    settings += ["DATA.NAME", cfg.DATA.NAME, "DATA.ROOT", cfg.DATA.ROOT]
    return f"{lines}: kdvideo train {shlex.join([*settings, *_unusual(cfg, settings[::2])])}"


def _describe_store(taught: "Taught") -> str:
    views = f"{taught.num_views} views of {taught.num_videos} videos"
    if not taught.num_missing:
        return f"all answers to {views} are in {taught.store.directory}"
    return (
        f"{taught.num_missing} answers to {views} are missing in {taught.store.directory}: do the other parts, or run "
        "this again"
    )


def _teacher_settings(cfg: "CfgNode", taught: Sequence["Taught"]) -> list[str]:
    if cfg.TEACHERS:
        return ["TEACHERS", json.dumps(cfg.TEACHERS)]
    [one] = taught
    own = {"class_logits", "tokens"} & {*one.store.shapes}
    losses = cfg.TEACHER.LOSSES if own else ["embedding_distillation"]
    settings = ["TEACHER.WEIGHTS", cfg.TEACHER.WEIGHTS, "TEACHER.VIEWS", str(one.num_views)]
    return [*settings, "TEACHER.LOSSES", f"[{', '.join(losses)}]"]


def _unusual(cfg: "CfgNode", told: Sequence[str]) -> list[str]:
    """Returns what decides about videos, teacher and store, where it is not the default and not told before."""
    from kdvideo.config import flatten_config, get_defaults
    from kdvideo.config.key import Role
    from kdvideo.config.keys import keys_with_role

    deciding = {"ZOO.DIR", "SOLVER.DETERMINISTIC", *keys_with_role(Role.ANSWER)}
    usual, changed = flatten_config(get_defaults()), []
    for name, value in flatten_config(cfg).items():
        if value != usual[name] and name not in told and (name in deciding or name.startswith("DATA.")):
            changed += [name, str(value)]
    return changed
