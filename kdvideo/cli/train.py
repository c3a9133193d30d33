"""`kdvideo train`, and `tools/train_net.py`."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdvideo.cli import submit
from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.cli.process import long_work
from kdvideo.foreign import printable

if TYPE_CHECKING:
    from fvcore.common.config import CfgNode

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `train` to argparse's `commands`."""
    parser = commands.add_parser("train", help="train, evaluate and publish, as a config says")
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        default=[],
        dest="config_files",
        help="a yaml file, or a name of `kdvideo configs`; with --submit, several times for several jobs",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="NAME",
        help="run the recorded config again of a zoo name, an entry's file or a run's folder, with KEY VALUE changes",
    )
    add_import_argument(parser)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="continue the run in OUTPUT_DIR")
    mode.add_argument("--eval-only", action="store_true", help="measure MODEL.WEIGHTS or OUTPUT_DIR's checkpoint")
    submit.add_arguments(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from kdvideo.config import load_config
    from kdvideo.engine.launch import train
    from kdvideo.engine.provenance import started_by
    from kdvideo.engine.stop import Preempted, stop_signals

    if options.source and (options.config_files or options.submit):
        raise ValueError(
            f"--from goes without --config-file and --submit: `kdvideo zoo show {options.source} --config` prints the "
            "config, for a file"
        )
    if options.submit:
        return submit.submit_runs(options)
    if options.dry_run or options.unchecked or len(options.config_files) > 1:
        raise ValueError("--dry-run, --unchecked and several --config-file are for jobs: add --submit slurm")
    file = next(iter(options.config_files), None)
    cfg = _repeated(options) if options.source else load_config(file, options.overrides)
    if options.eval_only:
        from kdvideo.engine.evaluate import evaluate

        with long_work():
            evaluate(cfg)
        return 0
    told = started_by.set(["kdvideo", *options.arguments])
    try:
        with long_work():
            train(cfg, resume=options.resume, stopping=stop_signals)
    except Preempted as stopped:
        print(f"kdvideo: {stopped}; continue with --resume", file=sys.stderr)
        return EXIT_STOPPED
    finally:
        started_by.reset(told)
    return 0


def _repeated(options: argparse.Namespace) -> "CfgNode":
    """Returns the config of `--from`, and says what else may make its run another one."""
    from kdvideo.config import load_config
    from kdvideo.engine.repeat import read_recipe, use_recorded_threads
    from kdvideo.zoo.folder import as_zoo

    changes = dict(zip(options.overrides[::2], options.overrides[1::2], strict=False))
    recipe = read_recipe(options.source, zoo=as_zoo(changes.get("ZOO.DIR") or None))
    use_recorded_threads(recipe)
    if (differences := recipe.differences()) and os.environ.get("RANK", "0") == "0":
        print(printable(f"kdvideo: the last bits may differ: {'; '.join(differences)}"), file=sys.stderr)
    return load_config(overrides=options.overrides, start=recipe.cfg)
