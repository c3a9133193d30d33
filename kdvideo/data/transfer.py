"""Copies of batches to the device that computes. On a GPU, they run beside its work."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from kdvideo.data.batch import Batch, map_batch

__all__ = ["Transfer", "transfer_to"]

Transfer = Callable[[Batch], Batch]


def transfer_to(device: torch.device) -> Transfer:
    """Returns a function that copies a batch's tensors to a device. On the CPU they stay as they are.

    On a GPU, pinned tensors are copied on a stream of their own, while the GPU computes what it was asked for before.
    All callers share it, and do not wait. What the caller's current stream computes afterwards waits for the copy.
    """
    if device.type == "cuda" and torch.cuda.is_available():  # tests compute on fake GPUs, too
        return _side_stream(torch.cuda.current_device() if device.index is None else device.index)
    return partial(map_batch, function=partial(_move, device=device))


@cache  # each stream has a pool of the GPU's memory, which no other stream can use
def _side_stream(index: int) -> "_SideStream":
    return _SideStream(torch.device("cuda", index))


class _SideStream:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> Batch:
        with torch.cuda.stream(self.stream):
            moved = map_batch(batch, partial(_move, device=self.device))
        computes = torch.cuda.current_stream(self.device)
        computes.wait_stream(self.stream)
        map_batch(moved, partial(_keep_for, stream=computes))
        return moved


def _move(value: Any, *, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def _keep_for(value: Any, *, stream: torch.cuda.Stream) -> None:
    """Keeps the next copy from taking a tensor's memory before `stream` has finished with it."""
    if isinstance(value, Tensor) and value.is_cuda:
        value.record_stream(stream)
