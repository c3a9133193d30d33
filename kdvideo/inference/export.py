"""Exporting a model for other runtimes; the file is checked against the model itself."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejson
import torch
from torch import Tensor, nn
from torch.export import Dim

from kdvideo.data.clip_spec import prepare_clips
from kdvideo.extras import extra_imports
from kdvideo.files import write_atomic
from kdvideo.inference.predict import Source, load_source
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of

__all__ = [
    "PARITY",
    "SUFFIXES",
    "DeployedModel",
    "ExportFormat",
    "ExportedModel",
    "Latency",
    "export_model",
    "export_source",
    "load_exported",
    "measure_latency",
]

ExportFormat = Literal["torch-export", "onnx"]
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
Runner = Callable[[Tensor], Tensor]
PARITY = 1e-4  # largest difference to the model itself, relative to its largest output
_MANY = 64  # largest number of clips in a batch of an exported model
_METADATA_KEY = "kdvideo"


class DeployedModel(nn.Module):
    """A model with its input convention inside.

    It maps uint8 clips `[B, 3, T, H, W]` to features or class logits `[B, D]`. Scaling, normalisation and residual
    frames are part of it, so that nobody who runs the file can get them wrong.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model if isinstance(model, ClassificationModel) else backbone_of(model)
        self.spec = backbone_of(model).clip_spec

    def forward(self, clips: Tensor) -> Tensor:
        """Computes features or class logits `[B, D]`. Clips are decoded, uint8 RGB `[B, 3, T, H, W]`."""
        return self.model(prepare_clips(clips, self.spec))

    def describe(self) -> dict[str, Any]:
        """Returns what a caller of the file has to know.

        It is the clip spec, the pixels of a frame's shorter side before the centre crop, what the output is, "logits"
        or "feature", and the names of the classes.
        """
        head = self.model if isinstance(self.model, ClassificationModel) else None
        return {
            "clip_spec": self.spec.to_dict(),
            "short_side": self.spec.own_short_side,
            "output": "logits" if head else "feature",
            "classes": list(head.class_names) if head else [],
        }

    def example(self, batch: int) -> Tensor:
        """Returns random clips, the same ones every time. They are uint8 `[B, 3, T, H, W]`."""
        shape = (batch, 3, self.spec.clip_len, self.spec.size, self.spec.size)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Latency:
    """The median milliseconds that one clip takes."""

    runtime: str
    threads: int
    milliseconds: float


@dataclass(frozen=True)
class ExportedModel:
    """A file for other runtimes that gives its model's outputs.

    Attributes:
        path: the file.
        format: its format.
        difference: the largest absolute difference to the model, for batches of 1 and 3 clips.
        model: the model, on the CPU.
    """

    path: Path
    format: ExportFormat
    difference: float
    model: Model

    def measure(self, runs: int = 15) -> Iterator[Latency]:
        """Measures the time of one clip on the CPU; see `measure_latency`."""
        return measure_latency(self.model, self.path, format=self.format, runs=runs)


def export_source(source: Source, path: str | Path | None = None, *, format: ExportFormat = "onnx") -> ExportedModel:
    """Writes a model, by its name or from memory, to a file; see `export_model`.

    Args:
        source: a zoo name, path or URL, or a model in memory.
        path: the file. Defaults to the model's name with the format's suffix, in the working folder.
        format: one of `SUFFIXES`.
    """
    if format not in SUFFIXES:
        raise ValueError(f"`format` is {format!r}; it must be {' or '.join(SUFFIXES)}")
    model, weights = load_source(source, "cpu")
    if weights is None:
        model = copy.deepcopy(model).eval()  # the caller's own may be in training
    name = (
        (weights.entry.name if weights.entry else weights.path.stem) if weights else type(backbone_of(model)).__name__
    )
    facts = {"model": name, "sha256": weights.sha256} if weights else {"model": name}
    path = Path(path or f"{facts['model']}{SUFFIXES[format]}")
    return ExportedModel(path, format, export_model(model, path, format=format, facts=facts), model)


def export_model(model: Model, path: Path, *, format: ExportFormat, facts: dict[str, Any]) -> float:
    """Writes a model to a file. The file is kept only if it gives the model's own outputs.

    Args:
        model: the model, on the CPU. It is put into eval mode.
        path: the file to write.
        format: "torch-export" for `torch.export.load` and AOTInductor, "onnx" for ONNX Runtime and its kin.
        facts: JSON values to store in the file, such as the model's name and hash. `DeployedModel.describe` is
            added.

    Returns:
        The largest absolute difference to the model, for batches of 1 and 3 clips.

    Raises:
        ValueError: the file's outputs differ from the model's by more than `PARITY`.
        ImportError: a package that the format needs is not installed.
    """
    deployed = DeployedModel(model).eval()
    description = simplejson.dumps({**facts, **deployed.describe()})
    difference = float("nan")

    def write(temporary: Path) -> None:
        nonlocal difference
        _WRITERS[format](deployed, temporary, description)
        difference = _compare(deployed, load_exported(temporary, format=format))

    write_atomic(path, write)
    return difference


def load_exported(path: Path, *, format: ExportFormat, threads: int | None = None) -> Runner:
    """Returns a function that runs the file. It maps uint8 clips `[B, 3, T, H, W]` to `[B, D]`.

    Args:
        path: the file.
        format: its format.
        threads: the threads of ONNX Runtime. Defaults to its own choice.
    """
    if format == "onnx":
        return _open_onnx(path, threads)
    with path.open("rb") as stream:  # if it were given a path, that would have to end in .pt2
        return torch.export.load(stream).module()


def measure_latency(model: Model, path: Path, *, format: ExportFormat, runs: int = 15) -> Iterator[Latency]:
    """Measures the time of one clip on the CPU. Model and file run with 1 and 2 threads."""
    deployed = DeployedModel(model).eval()
    clip = deployed.example(1)
    for threads in (1, 2):
        with _torch_threads(threads):
            yield Latency("PyTorch", threads, _median_ms(deployed, clip, runs))
            runner = load_exported(path, format=format, threads=threads)
            yield Latency({"onnx": "ONNX Runtime"}.get(format, format), threads, _median_ms(runner, clip, runs))


def _write_torch_export(deployed: DeployedModel, path: Path, description: str) -> None:
    with path.open("wb") as stream:
        torch.export.save(_trace(deployed), stream, extra_files={_METADATA_KEY: description})


def _write_onnx(deployed: DeployedModel, path: Path, description: str) -> None:
    with extra_imports():
        program = torch.onnx.export(
            deployed,
            (deployed.example(2),),
            input_names=["clips"],
            output_names=["output"],
            dynamic_shapes=_DYNAMIC,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props[_METADATA_KEY] = description
    program.save(str(path), external_data=False)


def _trace(deployed: DeployedModel) -> torch.export.ExportedProgram:
    return torch.export.export(deployed, (deployed.example(2),), dynamic_shapes=_DYNAMIC)


@torch.inference_mode()
def _compare(deployed: DeployedModel, runner: Runner) -> float:
    largest = 0.0
    for batch in (1, 3):
        clips = deployed.example(batch)
        own = deployed(clips)
        difference = (runner(clips) - own).abs().max().item()
        if not difference <= PARITY * own.abs().max().item():
            raise ValueError(f"the exported file's outputs differ from the model's by {difference:.2g}: it is not kept")
        largest = max(largest, difference)
    return largest


def _open_onnx(path: Path, threads: int | None) -> Runner:
    with extra_imports():
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda clips: torch.from_numpy(np.asarray(session.run(None, {"clips": clips.numpy()})[0]))


@torch.inference_mode()
def _median_ms(runner: Runner, clip: Tensor, runs: int) -> float:
    times = []
    for _ in range(runs + 2):
        started = time.perf_counter()
        runner(clip)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[2:])  # the first ones include allocations


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_DYNAMIC = {"clips": {0: Dim("batch", min=1, max=_MANY)}}
_WRITERS: dict[str, Callable[[DeployedModel, Path, str], None]] = {
    "torch-export": _write_torch_export,
    "onnx": _write_onnx,
}
