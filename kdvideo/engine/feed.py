"""Feeds the training with batches: read ahead, also over an epoch's end, and copied to the device beside the steps."""

import time
from collections.abc import Iterator
from functools import cached_property

import torch
from torch.utils.data import DataLoader

from kdvideo.data.batch import Batch
from kdvideo.data.loader import EpochSampler, stop_workers
from kdvideo.data.transfer import Transfer, transfer_to

__all__ = ["Feed"]


class Feed:
    """Yields a loader's batches, brings them to the device, and measures how long the training waits for them.

    ::

        training     | epoch 1: step step step | evaluation, checkpoint | epoch 2: step ..
        workers      | read epoch 1            | read epoch 2 ..

    Args:
        loader: the loader. Its sampler is an `EpochSampler`.
        device: the device that computes.

    Attributes:
        waiting: share of the latest epoch's training in which the next batch was not there yet, in [0, 1]. Evaluation
            and checkpoint do not count.
    """

    def __init__(self, loader: DataLoader, device: torch.device) -> None:
        self.loader = loader
        self.waiting = 0.0
        self._device = device
        self._place: tuple[int, int] | None = None  # where the batches that workers already read begin
        self._started: Iterator[Batch] | None = None

    @cached_property
    def to_device(self) -> Transfer:
        """Copies a batch to the device, beside what a GPU computes; see `transfer_to`."""
        return transfer_to(self._device)

    @property
    def sampler(self) -> EpochSampler:
        """The sampler of the loader."""
        assert isinstance(self.loader.sampler, EpochSampler)
        return self.loader.sampler

    def start(self, epoch: int, step: int = 0) -> None:
        """Lets the workers begin to read an epoch from a step on, if they have not begun yet.

        Without workers nothing is read before it is needed. The numbers that torch draws afterwards stay the same.
        Errors come when the batches are asked for, so that the epoch before is evaluated and saved first.
        """
        if self._place == (epoch, step):
            return
        self.sampler.epoch, self.sampler.start_step = self._place = epoch, step
        self._started = None
        if self.loader.num_workers > 0:
            with torch.random.fork_rng(devices=[]):  # PyTorch's iterator draws a seed for its workers
                try:
                    self._started = iter(self.loader)
                except Exception as error:
                    self._started = _raise(error)

    def batches(self, epoch: int, step: int = 0) -> Iterator[Batch]:
        """Yields an epoch's batches from a step on."""
        self.start(epoch, step)
        batches = iter(self.loader) if self._started is None else self._started
        self._place = self._started = None
        began, waited = time.perf_counter(), 0.0
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            now = time.perf_counter()
            waited += now - asked
            if batch is None:
                break
            yield batch
        self.waiting = waited / (now - began)

    def close(self) -> None:
        """Ends the workers. What they have read is dropped; it is read again when it is asked for."""
        self._place = self._started = None
        stop_workers(self.loader)


def _raise(error: Exception) -> Iterator[Batch]:
    """Raises the error when the first batch is asked for."""
    raise error
    yield
