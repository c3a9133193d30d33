"""Passes samples from a loader's worker to the run: through shared memory, or through a pipe if it is full.

PyTorch shares tensors through /dev/shm, of which docker gives a container 64 MB. If that is full, PyTorch loses the
worker's batch in a thread, and the run would wait for it for ever.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, default_convert, get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map

__all__ = ["batch_samples", "pass_sample"]

logger = logging.getLogger("kdvideo")
_SHARED_MEMORY = "/dev/shm"  # on Linux; elsewhere PyTorch's shared memory has no limit of its own
_SMALL = 1 << 19  # bytes; a batch without pixels takes the pipe, since mapping its ten tensors takes longer
_RESERVE = 1 << 20  # bytes kept for the semaphores of later processes


def batch_samples(samples: Sequence[Any]) -> Any:
    """Collates `samples` of `[...]` to `[B, ...]`, as PyTorch's `default_collate`. It never waits for shared memory."""
    return _send(default_collate, _collate_in_own_memory, samples)


def pass_sample(sample: Any) -> Any:
    """Turns a sample's arrays into tensors, as PyTorch's `default_convert`. It never waits for shared memory."""
    return _send(default_convert, default_convert, sample)


def _send(shared: Callable[[Any], Any], own: Callable[[Any], Any], samples: Any) -> Any:
    worker = get_worker_info()
    if worker is None:
        return shared(samples)
    num_bytes = _count_bytes(samples)
    if num_bytes <= _SMALL:
        return _map_tensors(partial(_ByValue, receive=torch.from_numpy), own(samples))
    needed = num_bytes * worker.num_workers  # all workers may be about to take as much
    if needed + _RESERVE <= _free_bytes():
        try:
            return _map_tensors(Tensor.share_memory_, shared(samples))
        except RuntimeError as error:
            if "shared memory" not in str(error) and "</torch" not in str(error):
                raise
    return _map_tensors(partial(_ByValue, receive=_receive), own(samples))


class _ByValue:
    """A tensor that is pickled with its values, and unpickled as a tensor, by `receive`."""

    def __init__(self, tensor: Tensor, *, receive: Callable[[np.ndarray], Tensor]) -> None:
        self.tensor = tensor
        self.receive = receive

    def __reduce__(self) -> tuple[Callable[[np.ndarray], Tensor], tuple[np.ndarray]]:
        return self.receive, (self.tensor.numpy(),)


def _receive(values: np.ndarray) -> Tensor:
    _tell_once()
    return torch.from_numpy(values)


@cache
def _tell_once() -> None:
    logger.warning(
        "shared memory (%s) is full: batches come through pipes, which takes longer; allow more of it, in docker by "
        "--shm-size=2g, or use fewer workers",
        _SHARED_MEMORY,
    )


def _collate_in_own_memory(samples: Any) -> Any:
    return collate(samples, collate_fn_map={**default_collate_fn_map, Tensor: _stack})


def _stack(tensors: Sequence[Tensor], *, collate_fn_map: object = None) -> Tensor:
    return torch.stack(list(tensors))


def _map_tensors(function: Callable[[Tensor], Any], batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: _map_tensors(function, value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [_map_tensors(function, value) for value in batch]
    return batch


def _count_bytes(samples: Any) -> int:
    if isinstance(samples, Mapping):
        samples = list(samples.values())
    if isinstance(samples, list | tuple):
        return sum(_count_bytes(value) for value in samples)
    return getattr(samples, "nbytes", 0)  # of tensors and arrays


def _free_bytes() -> float:
    try:
        return shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return float("inf")
