"""Copies from the device to the host's memory that nobody waits for until they are read."""

import torch
from torch import Tensor

__all__ = ["HostCopy"]


class HostCopy:
    """A tensor on its way from the device to the host.

    The device copies it when it has done what was asked of it before. The host goes on at once.

    Args:
        values: `[...]` on any device. A tensor in the host's memory is not copied.

    Attributes:
        is_late: whether the copy takes its time, so that it should be read later.
    """

    def __init__(self, values: Tensor) -> None:
        self.is_late = values.is_cuda
        self._copy = values.to("cpu", non_blocking=True)  # into pinned memory
        self._arrival = torch.cuda.Event(blocking=True) if self.is_late else None
        if self._arrival is not None:
            self._arrival.record()

    def read(self) -> Tensor:
        """Returns the tensor `[...]` in the host's memory. It waits until the tensor is there."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._copy
