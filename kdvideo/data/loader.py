"""Loaders whose batches depend neither on the number of workers nor on the number of ranks."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from kdvideo.data.batch import SampleKey
from kdvideo.data.checking.isolation import available_cores
from kdvideo.data.plan import epoch_order
from kdvideo.data.readers.outage import allow_waiting
from kdvideo.data.transport import batch_samples, pass_sample
from kdvideo.distributed import rank, world_size
from kdvideo.workers import end_if_rerun, explain_loss, explain_losses, worker_context, workers_start

__all__ = [
    "ALL_CORES",
    "STOP_SIGNALS",
    "EpochSampler",
    "create_loader",
    "gather_shares",
    "stop_workers",
    "take_share",
    "workers_of_cores",
]

ALL_CORES = -1  # as a number of workers
_MOST_WORKERS = 32  # they feed 1,700 tuples of 16 x 112 x 112 a second, and each holds two batches in shared memory

# Signals by which schedulers announce the end of a job's time. Windows has no SIGUSR2.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name))


class EpochSampler(Sampler[SampleKey]):
    """Yields the sample keys of an epoch in its own order.

    Set `epoch` before use, and `start_step` to resume within an epoch.

    ::

        epoch's order    3 0 5 2 | 7 1 4 6 | 8          batch_size 4; what fills no batch is left out
        rank 0 of 2      3 0       7 1
        rank 1 of 2          5 2       4 6

    Args:
        num_samples: size of the dataset.
        seed: the run's seed.
        batch_size: samples in one step, over all ranks.
        rank: this process's rank.
        world_size: number of processes that share each batch.

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
        """Returns how many samples this rank reads per epoch. Where it starts does not matter."""
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
    """Creates a DataLoader whose batches do not depend on `num_workers`.

    PyTorch gives each worker one thread, and the readers ask for no more.

    Args:
        dataset: what is read.
        batch_size: samples in a batch of this process; None gives the samples themselves.
        num_workers: processes that read ahead, two batches each; 0 reads in this process, -1 is `workers_of_cores`.
        sampler: chooses training samples. Workers then stay alive between epochs, and a smaller last batch is dropped.
            Without a sampler each rank reads its share, see `take_share`.
    """
    share = take_share(dataset, rank=rank(), world_size=world_size()) if sampler is None else dataset
    if num_workers == ALL_CORES:
        num_samples = len(share if sampler is None else sampler)  # type: ignore[arg-type]
        num_workers = workers_of_cores(num_batches=math.ceil(num_samples / (batch_size or 1)))
    return _Loader(
        share,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        drop_last=sampler is not None,
        persistent_workers=sampler is not None and num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_ignore_stop_signals,
        collate_fn=pass_sample if batch_size is None else batch_samples,
        multiprocessing_context=worker_context() if num_workers else None,
    )


def workers_of_cores(*, num_batches: int) -> int:
    """Returns the number of workers that keeps this process' cores busy.

    It leaves one core to the process itself. Ranks on one machine share its cores. Each worker makes whole batches, so
    there are at most as many workers as batches.

    ::

        16 cores, 1 rank     15        48 cores, 8 ranks     5        2 cores    1        1 core    1

    Args:
        num_batches: number of batches that are read at a time, e.g. of an epoch.
    """
    return max(1, min(_cores_of_rank() - 1, num_batches, _MOST_WORKERS))


def _cores_of_rank() -> int:
    """Returns the number of cores for this rank. Under Slurm, each rank may be a task with cores of its own."""
    cores, environment = available_cores(), os.environ
    if environment.get("SLURM_NTASKS") == environment.get("WORLD_SIZE", "1") and "SLURM_CPUS_PER_TASK" in environment:
        return min(cores, int(environment["SLURM_CPUS_PER_TASK"]))
    return cores // int(environment.get("LOCAL_WORLD_SIZE") or 1)


def stop_workers(loader: DataLoader) -> None:
    """Ends the workers that a loader keeps for its next epoch. A further epoch starts new ones."""
    kept, loader._iterator = loader._iterator, None
    if kept is not None:
        kept._shutdown_workers()  # type: ignore[attr-defined]


class _Loader(DataLoader):
    """A DataLoader that reports lost workers in one line. Its workers begin to read at `iter`, not at `next`."""

    def __iter__(self) -> Any:
        if self.num_workers == 0:
            return super().__iter__()
        end_if_rerun()
        with explain_losses(), workers_start():
            batches: Any = super().__iter__()
        return _explained(batches)


def _explained(batches: Any) -> Iterator[Any]:
    """Yields the batches of PyTorch's iterator, and explains the loss of one of its workers."""
    try:
        yield from batches
    except (RuntimeError, MemoryError) as error:
        if (lost := explain_loss(error, [worker.exitcode for worker in batches._workers])) is None:
            raise
        raise lost from None


def _ignore_stop_signals(worker: int) -> None:
    """Ignores stop signals in a worker, except the parent process's.

    Schedulers signal every process of a job, but the run needs its workers until its step ends. PyTorch itself ends
    workers by SIGTERM. Only a thread that waits for a signal learns who sent it. Where that is impossible (macOS,
    Windows), only the signal that PyTorch does not use is ignored.
    """
    if not hasattr(signal, "sigwaitinfo"):
        for number in set(STOP_SIGNALS) - {signal.SIGTERM}:
            signal.signal(number, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_exit_when_parent_asks, daemon=True).start()


def _exit_when_parent_asks() -> None:
    while signal.sigwaitinfo(STOP_SIGNALS).si_pid != os.getppid():
        allow_waiting(False)  # for a video that is away: the run receives the error, and stops
    os._exit(0)


def take_share(dataset: Dataset, *, rank: int, world_size: int) -> Dataset:
    """Returns the samples that one of several ranks evaluates.

    ::

        samples of 7    0 1 2 3 4 5 6
        rank 0 of 3     0     3     6
        rank 1 of 3       1     4
        rank 2 of 3         2     5
    """
    return Subset(dataset, range(rank, len(dataset), world_size))  # type: ignore[arg-type]


def gather_shares(outputs: Tensor) -> Tensor:
    """Gathers all ranks' outputs in the samples' order.

    Args:
        outputs: `[samples of this rank's share, ...]` on the CPU; of an empty share only the length 0 matters.

    Returns:
        `[samples, ...]`; with one process `outputs` itself.
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
