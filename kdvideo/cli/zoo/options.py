"""What several commands of `kdvideo zoo` share."""

import argparse
from pathlib import Path

from kdvideo.paths import expand_user

__all__ = ["add_zoo", "zoo_of"]


def add_zoo(parser: argparse.ArgumentParser) -> None:
    """The option `--zoo`."""
    parser.add_argument("--zoo", type=Path, metavar="DIR", help="another zoo than $KDVIDEO_HOME/zoo")


def zoo_of(options: argparse.Namespace) -> Path:
    """The zoo that `--zoo` names, else the user's."""
    from kdvideo.paths import user_zoo

    return user_zoo() if options.zoo is None else expand_user(options.zoo)
