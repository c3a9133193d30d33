"""Writes a checkpoint in a thread beside the training, from a copy of the state."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
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

    It is made on the tensors' own device, which takes less than a millisecond on a GPU, and nobody waits for it.

    Args:
        state: nested dicts, lists and tuples of tensors and plain values.
        device: the device that computes.
    """

    def __init__(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        self._state = map_tensors(state, lambda tensor: tensor.detach().clone())
        self._device = device
        self._is_made = torch.cuda.Event() if device.type == "cuda" else None
        if self._is_made is not None:
            self._is_made.record(torch.cuda.current_stream(device))

    def to_cpu(self) -> dict[str, Any]:
        """Returns the state with its tensors on the CPU. It waits for the copies, beside the training's stream."""
        with ExitStack() as stack:
            if self._is_made is not None:  # a thread begins on the first GPU and on the training's stream
                stack.enter_context(torch.cuda.device(self._device))
                stream = torch.cuda.Stream()
                stream.wait_event(self._is_made)
                stack.enter_context(torch.cuda.stream(stream))
            return map_tensors(self._state, lambda tensor: tensor.cpu())


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
        """Waits until the write is done, and raises its error if it has failed."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Waits until the write is done. It is called when training ends, maybe by an error, so it only logs."""
        try:
            self.wait()
        except Exception as error:  # whatever a write may raise
            logger.warning("%s", first_line(error))


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
