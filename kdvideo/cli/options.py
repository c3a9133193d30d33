"""Arguments that several commands share."""

import argparse
import math
import re

from kdvideo.cli.imports import add_import_argument
from kdvideo.paths import SHIPPED_MODEL

__all__ = ["EXIT_STOPPED", "FLAGS", "add_device", "add_model_argument", "add_time_limit", "import_words", "part_number"]

EXIT_STOPPED = 75  # the command was asked to stop and can continue: os.EX_TEMPFAIL, which Windows does not have
FLAGS = {  # options for the parameters that errors name
    "backbone": "--backbone",
    "device": "--device",
    "gallery": "--gallery FILE.parquet",
    "import": "--import",
    "licence": "--licence",
    "replace": "--replace",
    "root": "ROOT",
    "seeds": "--seeds",
    "top": "--top",
    "url": "--url",
    "zoo": "--zoo",
}


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--model`, and `--import` for the user's own networks. The default model comes with kdvideo."""
    parser.add_argument(
        "--model",
        default=SHIPPED_MODEL,
        metavar="NAME",
        help="zoo name, path, URL, hf:OWNER/REPO or folder (default %(default)s)",
    )
    add_import_argument(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device` to commands that run a network."""
    parser.add_argument(
        "--device", default="", metavar="NAME", help="cpu, cuda or cuda:N (default: the GPU, where there is one)"
    )


def add_time_limit(parser: argparse.ArgumentParser, *, default: float = 120.0) -> None:
    """Adds `--time-limit` to commands that read arbitrary videos."""
    parser.add_argument(
        "--time-limit", type=_seconds, default=default, metavar="S", help="seconds per video (default %(default)g)"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time limit: it must be a number of seconds above 0, e.g. 900")
    return seconds


def import_words(options: argparse.Namespace) -> list[str]:
    """Returns the `--import`s of a command as words of a command line."""
    return [word for name in options.imports for word in ("--import", name)]


def part_number(text: str) -> tuple[int, int]:
    """Parses I/N, a part of work that several jobs share."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part[0] <= part[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no part: it must be I/N with I from 1 to N, e.g. 3/8")
    return part
