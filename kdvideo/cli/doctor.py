"""`kdvideo doctor`."""

import argparse
from typing import Any

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `doctor` to argparse's `commands`."""
    parser = commands.add_parser("doctor", help="what this machine offers, and what to do about what is missing")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.doctor import examine

    for one in examine():
        print(f"{one.what:16s} {one.found}")
        if one.advice:
            print(f"{'':16s} -> {one.advice}")
