"""Options that several commands of `kdvideo zoo` share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdvideo.zoo.folder import Zoo

__all__ = ["add_zoo", "zoo_of"]


def add_zoo(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--zoo` to a command."""
    parser.add_argument("--zoo", type=Path, metavar="DIR", help="another zoo than $KDVIDEO_HOME/zoo")


def zoo_of(options: argparse.Namespace) -> "Zoo":
    """Returns the zoo in `--zoo`, or the user's zoo without that option."""
    from kdvideo.zoo.folder import Zoo, as_zoo

    return as_zoo(options.zoo) or Zoo.user()
