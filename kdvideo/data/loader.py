"""Loaders: which rank and which worker reads what changes nothing of what a training run or an evaluation sees."""

import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from kdvideo.data.batch import SampleKey
from kdvideo.data.plan import epoch_order
from kdvideo.data.readers.outage import allow_waiting
from kdvideo.data.transport import batch_samples, pass_sample
from kdvideo.distributed import rank, world_size
from kdvideo.workers import end_if_rerun, explain_loss, worker_context, workers_start

__all__ = ["STOP_SIGNALS", "EpochSampler", "create_loader", "gather_shares", "take_share"]

# What schedulers announce the end of a job's time with. Windows has no SIGUSR2.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name))


class EpochSampler(Sampler[SampleKey]):
    """Yields the sample keys of an epoch in its own order.

    Set `epoch` before use, and `start_step` to resume within an epoch.

    ::

        epoch's order    3 0 5 2 | 7 1 4 6 | 8          batch_size 4; what fills no batch is left out
        rank 0 of 2      3 0       7 1
        rank 1 of 2          5 2       4 6

    Args:
        num_samples: of the dataset.
        seed: the run's seed.
        batch_size: samples of one step, of all ranks together.
        rank: of this process.
        world_size: processes that share each batch.

    Raises:
        ValueError: the ranks cannot share a batch evenly.
    """

    def __init__(self, num_samples: int, *, seed: int, batch_size: int = 1, rank: int = 0, world_size: int = 1) -> None:
        if batch_size % world_size:
            raise ValueError(f"`batch_size` is {batch_size}; it must be a multiple of the {world_size} processes")
        self.num_samples = num_samples
        self.seed = seed
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start_step = 0

    def __len__(self) -> int:
        """Samples that this rank reads in a whole epoch, wherever it starts."""
        return self.num_samples // self.batch_size * (self.batch_size // self.world_size)

    def __iter__(self) -> Iterator[SampleKey]:
        order = epoch_order(seed=self.seed, epoch=self.epoch, num_samples=self.num_samples)
        num_steps = self.num_samples // self.batch_size
        # step, rank, place in the rank's share
        shares = order[: num_steps * self.batch_size].reshape(
            num_steps, self.world_size, self.batch_size // self.world_size
        )
        return iter([SampleKey(self.epoch, int(index)) for index in shares[self.start_step :, self.rank].flat])


def create_loader(
    dataset: Dataset,
    *,
    batch_size: int | None,
    num_workers: int,
    sampler: EpochSampler | None = None,
) -> DataLoader:
    """A DataLoader whose batches do not depend on `num_workers`.

    PyTorch gives each worker one thread, and the readers ask for no more.

    Args:
        dataset: what is read.
        batch_size: samples in a batch of this process; None gives the samples themselves.
        num_workers: processes that read ahead, two batches each; 0 reads in this one.
        sampler: for training: its workers stay alive between epochs, and a last smaller batch is dropped. Without one
            each rank reads its share, see `take_share`.
    """
    return _Loader(
        take_share(dataset, rank=rank(), world_size=world_size()) if sampler is None else dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        drop_last=sampler is not None,
        persistent_workers=sampler is not None and num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_stopping_to_the_run,
        collate_fn=pass_sample if batch_size is None else batch_samples,
        multiprocessing_context=worker_context() if num_workers else None,
    )


class _Loader(DataLoader):
    """A DataLoader that says in one line what became of its workers."""

    def __iter__(self) -> Any:
        if self.num_workers == 0:
            return super().__iter__()
        end_if_rerun()
        return self._read()

    def _read(self) -> Iterator[Any]:
        workers: list[BaseProcess] = []
        try:
            with workers_start():
                batches: Any = super().__iter__()
            workers = batches._workers
            yield from batches
        except (RuntimeError, MemoryError) as error:
            if (lost := explain_loss(error, [worker.exitcode for worker in workers])) is None:
                raise
            raise lost from None


def _leave_stopping_to_the_run(worker: int) -> None:
    """Schedulers signal every process of a job; the run still needs its workers to reach the end of its step.

    Who sent a signal is told to those only who wait for it, so a thread does; PyTorch ends workers by SIGTERM, too.
    Where nobody is told (macOS, Windows), only the signal that PyTorch does not use is passed over.
    """
    if not hasattr(signal, "sigwaitinfo"):
        for number in set(STOP_SIGNALS) - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_obey_the_run_alone, daemon=True).start()


def _obey_the_run_alone() -> None:
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != os.getppid():
        allow_waiting(False)  # for a video that is away: the run hears of it, and stops
    os._exit(0)


def take_share(dataset: Dataset, *, rank: int, world_size: int) -> Dataset:
    """The samples that one of several ranks evaluates: every `world_size`-th, none twice and none left out.

    ::

        samples of 7    0 1 2 3 4 5 6
        rank 0 of 3     0     3     6
        rank 1 of 3       1     4
        rank 2 of 3         2     5
    """
    return Subset(dataset, range(rank, len(dataset), world_size))  # type: ignore[arg-type]


def gather_shares(outputs: Tensor) -> Tensor:
    """Every rank's outputs for its share, put back into the samples' order, on every rank.

    Args:
        outputs: `[samples of this rank's share, ...]` on the CPU; of an empty share only the 0 counts.

    Returns:
        `[samples, ...]`; `outputs` itself where there is one process.
    """
    if world_size() == 1:
        return outputs
    described: list[Any] = [None] * world_size()
    distributed.all_gather_object(described, (tuple(outputs.shape), outputs.dtype))
    (longest, *trailing), dtype = described[0]  # no share is longer than the first
    if len(outputs) == 0:
        outputs = outputs.new_empty(0, *trailing, dtype=dtype)
    padding = [0, 0] * len(trailing) + [0, longest - len(outputs)]
    parts = [outputs.new_empty(longest, *trailing) for _ in range(world_size())]
    distributed.all_gather(parts, F.pad(outputs, padding))
    # [place in the share, rank] is the order of the samples; only the last places can be padding.
    num_samples = sum(shape[0] for shape, _ in described)
    return torch.stack(parts, dim=1).flatten(0, 1)[:num_samples]
