"""`kdvideo export`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument

__all__ = ["add_arguments"]

_SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


def add_arguments(commands: Any) -> None:
    """Adds `export` to argparse's `commands`."""
    parser = commands.add_parser("export", help="a model as a file for other runtimes, checked, with its speed here")
    parser.add_argument("model", metavar="NAME", help="zoo name, path or URL")
    parser.add_argument("--format", choices=tuple(_SUFFIXES), default="onnx", help="default %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default NAME.onnx or NAME.pt2 in this folder")
    add_import_argument(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.inference.export import export_model, measure_latency
    from kdvideo.zoo.load import load_model

    model, weights = load_model(options.model)
    name = weights.entry.name if weights.entry else weights.path.stem
    path = options.out or Path(f"{name}{_SUFFIXES[options.format]}")
    facts = {"model": name, "sha256": weights.sha256}
    difference = export_model(model, path, format=options.format, facts=facts)
    print(f"{path}: uint8 clips [batch, 3, frames, height, width]; differs from the model by {difference:.1g} at most")
    print(f"{'runtime':14s} threads  ms a clip")
    for one in measure_latency(model, path, format=options.format):
        print(f"{one.runtime:14s} {one.threads:7d}  {one.milliseconds:9.1f}", flush=True)
