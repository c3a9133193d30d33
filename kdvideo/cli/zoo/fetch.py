"""`kdvideo zoo fetch`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.zoo.options import add_zoo, zoo_of
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds the command."""
    fetch = commands.add_parser(
        "fetch", help="bring weights to this machine, checked; an address of an entry adds it to the zoo first"
    )
    fetch.add_argument("sources", nargs="+", metavar="NAME", help="a zoo name, or the address of a released NAME.json")
    fetch.add_argument("--from", dest="file", type=Path, metavar="FILE", help="take this file, got by hand")
    fetch.add_argument("--replace", action="store_true", help="let an address replace an entry of another model")
    add_zoo(fetch)
    fetch.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> None:
    from kdvideo.zoo.fetch import fetch_entry, take_file
    from kdvideo.zoo.manage import adopt_entry
    from kdvideo.zoo.sources import find_entry, resolve_weights

    zoo_dir = zoo_of(options)
    if options.file is not None and len(options.sources) != 1:
        raise ValueError("--from takes the file of one model: give one name")
    for source in options.sources:
        name = source
        if source.endswith(".json"):
            name = adopt_entry(source, zoo_dir=zoo_dir, replace=options.replace).name
        entry, directory = find_entry(name, zoo_dir=zoo_dir)
        if options.file is not None:
            take_file(entry, expand_user(options.file))
        elif not (directory / "weights" / entry.file).exists():
            fetch_entry(entry)
        weights = resolve_weights(name, zoo_dir=zoo_dir)
        print(f"{weights.path}  sha256 {weights.sha256}{'' if entry.is_verified else ' (unverified)'}")
