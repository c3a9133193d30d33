"""`kdvideo demo`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.cli.process import long_work

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `demo` to argparse's `commands`."""
    parser = commands.add_parser("demo", help="teacher, student alone and distilled student on generated videos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="folder of everything it makes")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from kdvideo.engine.stop import Preempted, stop_signals
    from kdvideo.study.demo import run_demo

    try:
        with long_work():
            run_demo(options.output, seed=options.seed, stopping=stop_signals)
    except Preempted as stopped:
        print(f"kdvideo: the demo was {stopped}; it begins anew when it is started again", file=sys.stderr)
        return EXIT_STOPPED
    return 0
