"""`kdvideo export`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `export` to argparse's `commands`."""
    parser = commands.add_parser("export", help="a model as a file for other runtimes, checked, with its speed here")
    parser.add_argument("model", metavar="NAME", help="zoo name, path or URL")
    parser.add_argument("--format", choices=("onnx", "torch-export"), default="onnx", help="default %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default NAME.onnx or NAME.pt2 in this folder")
    add_import_argument(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.inference.export import export_source

    done = export_source(options.model, options.out, format=options.format)
    said = f"{done.path}: uint8 clips [batch, 3, frames, height, width]"
    print(f"{said}; differs from the model by {done.difference:.1g} at most")
    print(f"{'runtime':14s} threads  ms a clip")
    for one in done.measure():
        print(f"{one.runtime:14s} {one.threads:7d}  {one.milliseconds:9.1f}", flush=True)
