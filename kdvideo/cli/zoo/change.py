"""`kdvideo zoo publish | convert | remove | render | release`: commands that write into a zoo or copy from one."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.zoo.options import add_zoo, zoo_of
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds the commands to argparse's `commands`."""
    publish = commands.add_parser("publish", help="put a run's checkpoint into the zoo")
    publish.add_argument("checkpoint", type=Path, help="OUTPUT_DIR/checkpoint.pt, or OUTPUT_DIR")
    publish.add_argument("--name", required=True)
    publish.add_argument("--licence", help="of the weights; the run's ZOO.LICENCE unless given")
    publish.add_argument("--replace", action="store_true", help="replace an entry of that name")
    add_zoo(publish)
    add_import_argument(publish)
    publish.set_defaults(run=_publish)
    convert = commands.add_parser("convert", help="put another project's checkpoint into the zoo")
    convert.add_argument("source", metavar="FILE", help="a path, an address or a zoo name")
    convert.add_argument("--name", required=True)
    convert.add_argument("--backbone", default="", help="of a bare file; one of your own comes with --import")
    convert.add_argument("--clip-spec", metavar="SPEC", help="input convention of a bare file: a name, or yaml")
    convert.add_argument("--licence", help="of the weights; the entry's unless given")
    convert.add_argument("--replace", action="store_true", help="replace an entry of that name")
    add_zoo(convert)
    add_import_argument(convert)
    convert.set_defaults(run=_convert)
    remove = commands.add_parser("remove", help="remove a model from the zoo, or a fetched file")
    remove.add_argument("name")
    add_zoo(remove)
    remove.set_defaults(run=_remove)
    render = commands.add_parser("render", help="write MODEL_ZOO.md from the entries")
    render.add_argument("directory", type=Path, nargs="?", help="the zoo, $KDVIDEO_HOME/zoo unless given")
    render.set_defaults(run=_render)
    release = commands.add_parser("release", help="write files, hashes and entries, ready to be uploaded")
    release.add_argument("destination", metavar="DIR", help="a folder, or an address that iopath can write to")
    release.add_argument("--names", nargs="+", metavar="NAME", help="all models of the zoo unless given")
    release.add_argument("--url", required=True, help="where the files will be found, e.g. of a GitHub release")
    add_zoo(release)
    release.set_defaults(run=_release)


def _publish(options: argparse.Namespace) -> None:
    from kdvideo.engine.publish import publish_run

    entry = publish_run(
        expand_user(options.checkpoint),
        options.name,
        zoo=zoo_of(options),
        licence=options.licence,
        replace=options.replace,
    )
    print(f"{zoo_of(options).weights_of(entry)}  sha256 {entry.sha256}")


def _convert(options: argparse.Namespace) -> None:
    from kdvideo.zoo.convert import convert_weights
    from kdvideo.zoo.formats import parse_clip_spec

    entry = convert_weights(
        options.source,
        options.name,
        zoo=zoo_of(options),
        backbone=options.backbone,
        clip_spec=None if options.clip_spec is None else parse_clip_spec(options.clip_spec),
        licence=options.licence,
        replace=options.replace,
    )
    print(f"{zoo_of(options).weights_of(entry)}  sha256 {entry.sha256}")


def _remove(options: argparse.Namespace) -> None:
    from kdvideo.zoo.manage import remove_entry

    for path in remove_entry(options.name, zoo=zoo_of(options)):
        print(f"removed {path}")


def _render(options: argparse.Namespace) -> None:
    from kdvideo.zoo.folder import Zoo, as_zoo

    print((as_zoo(options.directory) or Zoo.user()).render())


def _release(options: argparse.Namespace) -> None:
    from kdvideo.zoo.release import release

    zoo = zoo_of(options)
    names = options.names or [entry.name for entry in zoo.entries()]
    for name in release(names, options.destination, url=options.url, zoo=zoo):
        print(f"{options.destination.rstrip('/')}/{name}")
