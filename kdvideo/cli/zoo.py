"""`kdvideo zoo`."""

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `zoo` and its own commands to argparse's `commands`."""
    parser = commands.add_parser("zoo", help="list the models, or write a zoo's MODEL_ZOO.md again")
    own = parser.add_subparsers(dest="zoo_command", required=True)
    listing = own.add_parser("list", help="names that create_model takes")
    listing.add_argument("pattern", nargs="?", default="*")
    listing.set_defaults(run=_list)
    render = own.add_parser("render", help="write MODEL_ZOO.md from the entries")
    render.add_argument("directory", type=Path)
    render.set_defaults(run=_render)


def _list(options: argparse.Namespace) -> None:
    from kdvideo.zoo.load import list_models

    print("\n".join(list_models(options.pattern)))


def _render(options: argparse.Namespace) -> None:
    from kdvideo.zoo.render import render_zoo

    print(render_zoo(options.directory.expanduser()))
