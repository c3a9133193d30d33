"""Writes a checkpoint in a thread beside the training, from a copy of the state."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any

import torch
from torch import Tensor

from kdvideo.errors import first_line

__all__ = ["BackgroundWriter", "StateCopy", "can_write_beside"]

logger = logging.getLogger("kdvideo")


def can_write_beside(device: torch.device) -> bool:
    """Tells whether a checkpoint is better written by a thread while the training on a device goes on.

    On a CPU it is not: the thread would take the training's cores, and the copy its memory.
    """
    return device.type == "cuda"


class StateCopy:
    """A copy of a nested state at this moment, which the training cannot change any more.

    It is in the host's memory: a GPU that training has filled has no room for it. The host does not wait until the GPU
    has made it; the GPU's next work does.

    Args:
        state: nested dicts, lists and tuples of tensors and plain values.
        device: the device that computes.
    """

    def __init__(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        self._state = map_tensors(state, _copy_to_host)
        self._device = device
        self._is_made = torch.cuda.Event(blocking=True) if device.type == "cuda" else None
        if self._is_made is not None:
            self._is_made.record(torch.cuda.current_stream(device))

    def read(self) -> dict[str, Any]:
        """Returns the state with its tensors on the CPU. It waits until the device has copied them."""
        if self._is_made is not None:
            with torch.cuda.device(self._device):  # a thread begins on the first GPU
                self._is_made.synchronize()
        return self._state


class BackgroundWriter:
    """Runs one write at a time in a thread. Errors of a write are raised in the thread of the training."""

    def __init__(self) -> None:
        self._running: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Starts a write, after waiting for the one before.

        Raises:
            Exception: whatever the write before raised.
        """
        self.wait()
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kdvideo-checkpoint")
        self._running = executor.submit(write)
        executor.shutdown(wait=False)  # the thread ends with its write; workers are forked from a process without it

    def check(self) -> None:
        """Raises the error of a write that has failed. It does not wait."""
        if self._running is not None and self._running.done():
            self.wait()

    def wait(self) -> None:
        """Waits until the write is done, and raises its error if it has failed. Ctrl-C does not end the write."""
        if (running := self._running) is None:
            return
        try:
            running.result()
        finally:
            if running.done():
                self._running = None

    def close(self) -> None:
        """Waits until the write is done. It is called when training ends, maybe by an error, so it only logs."""
        try:
            self.wait()
        except Exception as error:  # whatever a write may raise
            logger.warning("%s", first_line(error))


def _copy_to_host(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.to("cpu", non_blocking=True) if tensor.is_cuda else tensor.clone()  # from a GPU, to pinned memory


def map_tensors(state: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Returns a nested state with a function's results in place of its tensors. Containers keep their types."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, dict):
        mapped = copy(state)  # a module's state_dict has attributes, too
        mapped.update({key: map_tensors(value, function) for key, value in state.items()})
        return mapped
    if type(state) in (list, tuple):
        return type(state)(map_tensors(value, function) for value in state)
    return state
