"""`kdvideo configs`."""

import argparse
from typing import Any

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `configs` to argparse's `commands`."""
    parser = commands.add_parser("configs", help="the configs that come with kdvideo, for --config-file NAME")
    parser.add_argument("name", nargs="?", metavar="NAME", help="show the file of this one")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.config.shipped import config_names, describe_config, find_config

    if options.name is not None:
        print(find_config(options.name).read_text(encoding="utf-8"), end="")
        return
    names = config_names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {describe_config(name)}")
