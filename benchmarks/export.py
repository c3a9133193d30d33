"""Every own backbone as ONNX and torch.export file: how far from the model, how fast on this CPU.

    python benchmarks/export.py [--widths 16 64] [--runs 5]

Random weights, default clips; a backbone whose width is fixed is measured once. Prints a table row by row, in which the
relative difference is that of the largest output. The last line is one JSON object: the worst of them by format.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

import kdvideo
from kdvideo.inference.export import DeployedModel, export_model, measure_latency
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import takes_option
from kdvideo.registry import BACKBONES

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


def own_backbones() -> list[str]:
    """Those whose networks are kdvideo's, not adapted ones."""
    return [name for name in BACKBONES.names() if "adapters" not in BACKBONES.get(name).__module__]


def export_all(widths: list[int], folder: Path) -> list[tuple[str, int | None, str, Path, float, float]]:
    """Backbone, width, format, file, largest difference from the model, and the same by the model's largest output."""
    exported = []
    for name in own_backbones():
        for width in widths if takes_option(name, "width") else [None]:
            model = create(name, width)
            deployed = DeployedModel(model)
            with torch.inference_mode():
                scale = deployed(deployed.example(1)).abs().max().item()
            for format, suffix in SUFFIXES.items():
                path = folder / f"{name}_{width}{suffix}"
                difference = export_model(model, path, format=format, facts={"model": name})
                exported.append((name, width, format, path, difference, difference / scale))
    return exported


def create(name: str, width: int | None) -> Backbone:
    """The same weights at every call."""
    torch.manual_seed(0)
    return kdvideo.create_model(name, **({} if width is None else {"width": width})).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    largest = dict.fromkeys(SUFFIXES, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        exported = export_all(options.widths, Path(folder))  # before anything is timed: conversion heats up the machine
        print("| backbone | width | format | MB | difference | relative | 1 thread, ms (PyTorch) | 2 threads |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for name, width, format, path, difference, relative in exported:
            measured = measure_latency(create(name, width), path, format=format, runs=options.runs)
            times = [one.milliseconds for one in measured]
            largest[format] = max(largest[format], relative)
            size = path.stat().st_size / 1e6
            row = (name, width or "fixed", format, f"{size:.1f}", f"{difference:.1e}", f"{relative:.1e}")
            ours = [f"{times[i + 1]:.0f} ({times[i]:.0f})" for i in (0, 2)]
            print("|", " | ".join(map(str, (*row, *ours))), "|", flush=True)
    print(json.dumps(largest))


if __name__ == "__main__":
    main()
