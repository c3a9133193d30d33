"""`kdvideo report`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `report` to argparse's `commands`."""
    parser = commands.add_parser("report", help="one HTML page of the zoo's models and of runs, works offline")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="where to write it")
    parser.add_argument("--zoo", type=Path, metavar="DIR", help="a zoo to show before the user's and the packaged one")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], metavar="DIR", help="runs, or folders of runs")
    parser.add_argument(
        "--retrieval",
        type=Path,
        nargs=2,
        action="append",
        default=[],
        metavar=("FILE.parquet", "VIDEOS"),
        help="what `kdvideo embed VIDEOS` wrote, for pictures of neighbours; may be given several times",
    )
    add_import_argument(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.report import write_report
    from kdvideo.zoo.folder import as_zoo

    folders = [expand_user(folder) for folder in options.runs]
    galleries = [(expand_user(gallery), expand_user(videos)) for gallery, videos in options.retrieval]
    out = write_report(expand_user(options.out), zoo=as_zoo(options.zoo), runs=folders, galleries=galleries)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB")
