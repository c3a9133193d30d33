"""`kdvideo zoo`: one file per group of commands."""

from typing import Any

from kdvideo.cli.zoo import change, fetch, look

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `zoo` and its own commands to argparse's `commands`."""
    parser = commands.add_parser("zoo", help="list, fetch, check, publish and release models")
    own = parser.add_subparsers(dest="zoo_command", required=True)
    for group in (look, fetch, change):
        group.add_arguments(own)
