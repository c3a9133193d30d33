"""Several processes of one run: who this one is, and what they tell each other. A process alone gets its own back."""

import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

with warnings.catch_warnings():
    # fvcore calls torch.jit.script while it is imported; nothing here uses what that makes.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    from fvcore.nn.distributed import differentiable_all_gather

from kdvideo.workers import end_if_rerun

__all__ = [
    "any_rank",
    "gather",
    "gather_with_gradient",
    "is_main",
    "main_first",
    "mean_over_ranks",
    "process_group",
    "rank",
    "wait_for_all",
    "was_restarted",
    "world_size",
]

_TIMEOUT = timedelta(minutes=30)  # of one exchange; nothing between two of them takes that long
_PREPARATION = timedelta(days=2)  # looking at every video of a big dataset for the first time


def rank() -> int:
    """Returns this process' number among those of the run."""
    return distributed.get_rank() if _initialized() else 0


def world_size() -> int:
    """Returns how many processes share the run."""
    return distributed.get_world_size() if _initialized() else 1


def is_main() -> bool:
    """Returns whether this is rank 0, the only one that writes."""
    return rank() == 0


def was_restarted() -> bool:
    """Returns whether torchrun or Slurm has started this run before.

    Such a run is continued without being told.
    """
    return any(int(os.environ.get(count) or 0) > 0 for count in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the processes that torchrun or `kdvideo train --submit` has started; one process alone joins nothing.

    Who they are is read from RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them. CPU
    tensors travel by gloo, those of GPUs by nccl, and each process uses the GPU of its LOCAL_RANK.

    Raises:
        ConnectionError: another process of the run has died; its own message says why.
    """
    end_if_rerun()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _initialized():
        yield
        return
    try:
        _join()
        yield
        wait_for_all()  # rank 0 may be the one that the others talk through
    except RuntimeError as error:
        if not _is_lost_peer(error):
            _tell_torchrun(error)
            raise
        raise ConnectionError("another process of the run has ended; its own message, if any, says why") from None
    except Exception as error:
        _tell_torchrun(error)
        raise
    distributed.destroy_process_group()


def wait_for_all() -> None:
    """Returns when all ranks have come here."""
    if world_size() > 1:
        distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """Lets rank 0 go through the block alone, then all others.

    They find what it has left on disk.
    """
    if world_size() == 1:
        yield
        return
    patient = distributed.new_group(backend="gloo", timeout=_PREPARATION)
    assert isinstance(patient, distributed.ProcessGroup)
    if not is_main():
        distributed.barrier(patient)
    yield
    if is_main():
        distributed.barrier(patient)
    distributed.destroy_process_group(patient)


def gather(tensor: Tensor) -> Tensor:
    """Gathers all ranks' `[B, ...]` as `[world_size * B, ...]`, without gradient.

    Each rank has equally many; they come one after the other.
    """
    return gather_with_gradient(tensor.detach())


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Gathers as `gather`, `[B, ...] -> [world_size * B, ...]`, with gradient.

    A part's gradient is the sum over all ranks' losses.
    """
    return torch.cat(differentiable_all_gather(tensor.contiguous())) if world_size() > 1 else tensor


def any_rank(answer: bool) -> bool:
    """Returns whether any rank says yes; all ranks get the same answer."""
    return mean_over_ranks({"yes": float(answer)})["yes"] > 0


def mean_over_ranks(values: Mapping[str, float]) -> dict[str, float]:
    """Averages numbers that all ranks have under the same names."""
    if world_size() == 1:
        return dict(values)
    totals = torch.tensor(list(values.values()), dtype=torch.float64)
    distributed.all_reduce(totals)
    return dict(zip(values, (totals / world_size()).tolist(), strict=True))


def _join() -> None:
    backend = "gloo"
    if torch.cuda.is_available():  # not run on a GPU
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        distributed.init_process_group(backend, timeout=_TIMEOUT)
        return
    own, num_ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group(backend, store=_fresh_store(own), rank=own, world_size=num_ranks, timeout=_TIMEOUT)


def _fresh_store(own_rank: int) -> distributed.Store:
    """Opens the store where the ranks of this start meet.

    torchrun keeps one store over all its restarts, in which gloo and nccl find addresses of processes that have died
    (as in PyTorch's issue 135712). So rank 0 opens another, and leaves word in torchrun's where it is.
    """
    host, key = os.environ["MASTER_ADDR"], "kdvideo/port"
    shared = distributed.TCPStore(host, int(os.environ["MASTER_PORT"]), timeout=_TIMEOUT)
    if own_rank == 0:
        store = distributed.TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
        shared.set(key, str(store.port))
        return store
    end = time.monotonic() + _TIMEOUT.total_seconds()
    while time.monotonic() < end:
        port = int(shared.get(key))
        # Refused is the port of a rank 0 that has died; asked of torch's store, that takes long and fills the log.
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return distributed.TCPStore(host, port, wait_for_workers=False, timeout=_TIMEOUT)
        time.sleep(0.1)
    raise ConnectionError(f"rank 0 cannot be reached at {host}")


def _initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _is_lost_peer(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _tell_torchrun(error: Exception) -> None:
    """Leaves the error where torchrun looks for its "root cause"; elsewhere nothing happens."""
    get_error_handler().record_exception(error)
