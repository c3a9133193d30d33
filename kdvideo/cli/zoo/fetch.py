"""`kdvideo zoo fetch`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.zoo.options import add_zoo, zoo_of
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds the command to argparse's `commands`."""
    fetch = commands.add_parser(
        "fetch", help="bring weights to this machine, checked; an address of an entry adds it to the zoo first"
    )
    fetch.add_argument("sources", nargs="+", metavar="NAME", help="a zoo name, or the address of a released NAME.json")
    fetch.add_argument("--from", dest="file", type=Path, metavar="FILE", help="take this file, got by hand")
    fetch.add_argument("--replace", action="store_true", help="let an address replace an entry of another model")
    add_zoo(fetch)
    fetch.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> None:
    from kdvideo.zoo.manage import adopt_entry
    from kdvideo.zoo.sources import fetch_weights, find_entry

    zoo = zoo_of(options)
    if options.file is not None and len(options.sources) != 1:
        raise ValueError("--from takes the file of one model: give one name")
    file = options.file and expand_user(options.file)
    for source in options.sources:
        is_address = source.endswith(".json")
        found = adopt_entry(source, zoo=zoo, replace=options.replace) if is_address else find_entry(source, zoo=zoo)
        weights = fetch_weights(found, file=file)
        print(f"{weights.path}  sha256 {weights.sha256}{'' if found.entry.is_verified else ' (unverified)'}")
