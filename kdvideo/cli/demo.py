"""`kdvideo demo`."""

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `demo` to argparse's `commands`."""
    parser = commands.add_parser("demo", help="teacher, student alone and distilled student on generated videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="folder of everything it makes")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.study.demo import run_demo

    run_demo(options.output, seed=options.seed)
