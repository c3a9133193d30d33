"""`kdvideo train`, and `tools/train_net.py`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from kdvideo.cli import submit
from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.cli.process import long_work

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
    from kdvideo.engine.stop import Preempted, stop_signals

    if options.submit:
        return submit.submit_runs(options)
    if options.dry_run or options.unchecked or len(options.config_files) > 1:
        raise ValueError("--dry-run, --unchecked and several --config-file are for jobs: add --submit slurm")
    cfg = load_config(next(iter(options.config_files), None), options.overrides)
    if options.eval_only:
        from kdvideo.engine.evaluate import evaluate

        with long_work():
            evaluate(cfg)
        return 0
    try:
        with long_work():
            train(cfg, resume=options.resume, stopping=stop_signals)
    except Preempted as stopped:
        print(f"kdvideo: {stopped}; continue with --resume", file=sys.stderr)
        return EXIT_STOPPED
    return 0
