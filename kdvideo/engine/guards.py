"""Turns errors during a run into one line each, which says what to do."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from kdvideo.data.batch import Batch
from kdvideo.workers import NO_MEMORY, WorkerLost

__all__ = [
    "EVALUATION_MEMORY",
    "NETWORK_MEMORY",
    "TRAINING_MEMORY",
    "describe_samples",
    "first_not_finite",
    "full_memory",
    "out_of_memory_means",
    "writing",
]

# Advice for `out_of_memory_means`.
NETWORK_MEMORY = "end what else uses it, or choose another device"
TRAINING_MEMORY = "lower SOLVER.BATCH_SIZE or CLIP.SIZE, or raise SOLVER.ACCUMULATE"
EVALUATION_MEMORY = "set EVAL.BATCH_SIZE to 16, or to less"
# Messages of what allocates without PyTorch's allocator: the driver, cuBLAS and cuDNN.
_GPU_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_SHOWN = 32  # number of a batch's samples that are named


class _Explained(MemoryError):
    """An error that `out_of_memory_means` has raised, in a block within another one."""


@contextmanager
def out_of_memory_means(advice: str) -> Iterator[None]:
    """Turns PyTorch's out-of-memory errors into one line.

    Args:
        advice: which setting to lower for the work in the block.

    Raises:
        MemoryError: says which setting to lower. The loader's workers have a message of their own (`WorkerLost`). In
            nested blocks, the inner advice is given.
    """
    try:
        yield
    except (WorkerLost, _Explained):
        raise
    except (RuntimeError, MemoryError) as error:
        if (where := full_memory(error)) is None:
            raise
        raise _Explained(f"the {where} is out of memory: {advice}") from None


def full_memory(error: RuntimeError | MemoryError) -> str | None:
    """Returns whose memory ran out, "GPU" or "process". None if the error is another one."""
    if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _GPU_FULL):
        return "GPU"
    return "process" if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY) else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns write errors of a full or read-only disk into one line.

    Raises:
        OSError: names the file and says what to do. Its errno is the system's.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch.save hides the system's error behind its own error
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        number = cause.errno or errno.EIO
        raise OSError(
            number,
            f"{path} cannot be written: {os.strerror(number)}; checkpoints that are there stay as they are: make it "
            "writable, then continue with --resume",
        ) from None


def describe_samples(batch: Batch, dataset: Dataset) -> str:
    """Numbers of a batch's samples, with their videos' names where the dataset has such."""
    if "index" not in batch:
        return "samples without numbers"
    numbers = batch["index"].tolist()
    videos = getattr(dataset, "videos", None)
    shown = [f"{number} {videos.records[number].name}" if videos else str(number) for number in numbers[:_SHOWN]]
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"samples {', '.join(shown)}{more}"


def first_not_finite(state: object, name: str = "") -> str | None:
    """Returns the name of a tensor in nested dicts and lists that is not finite. None if all are finite."""
    if isinstance(state, Tensor):
        return name if state.is_floating_point() and not state.isfinite().all() else None
    if isinstance(state, Mapping):
        parts = list(state.items())
    elif isinstance(state, list | tuple):
        parts = list(enumerate(state))
    else:
        return None
    found = (first_not_finite(part, f"{name}.{key}".removeprefix(".")) for key, part in parts)
    return next((bad for bad in found if bad is not None), None)
