"""Communication between the processes of one run. A single process gets its own values back."""

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from torch.distributed.rendezvous import rendezvous

with warnings.catch_warnings():
    # fvcore calls torch.jit.script while it is imported. Nothing here uses the result.
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

logger = logging.getLogger("kdvideo")

_TIMEOUT = timedelta(minutes=30)  # for one exchange; the time between two exchanges is shorter
_PREPARATION = timedelta(days=2)  # for checking every video of a big dataset for the first time


def rank() -> int:
    """Returns this process' number among those of the run."""
    return distributed.get_rank() if _initialized() else 0


def world_size() -> int:
    """Returns the number of processes of the run."""
    return distributed.get_world_size() if _initialized() else 1


def is_main() -> bool:
    """Returns whether this is rank 0, the only one that writes."""
    return rank() == 0


def was_restarted() -> bool:
    """Returns whether torchrun or Slurm has started this run before.

    Such a run continues automatically.
    """
    return any(int(os.environ.get(count) or 0) > 0 for count in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


@contextmanager
def process_group() -> Iterator[None]:
    """Joins the processes that torchrun or `kdvideo train --submit` has started. A single process does nothing.

    It reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them. Each process uses the GPU
    of its LOCAL_RANK, or of its RANK where there is none. CPU tensors are sent by gloo. GPU tensors are sent by nccl,
    and by gloo where processes share a GPU, which nccl refuses.

    Raises:
        ConnectionError: another process of the run has died. Its own message gives the reason.
    """
    end_if_rerun()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _initialized():
        yield
        return
    try:
        _join()
        yield
        wait_for_all()  # the other ranks may communicate through rank 0
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
    """Waits until all ranks have called it."""
    if world_size() > 1:
        distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """Lets rank 0 run the block alone, and then all other ranks. They leave together.

    The other ranks find its results on disk. Another machine's own disk lacks them, so there it may take as long.
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
    distributed.barrier(patient)
    distributed.destroy_process_group(patient)


def gather(tensor: Tensor) -> Tensor:
    """Gathers the `[B, ...]` of all ranks as `[world_size * B, ...]`, without gradient.

    All ranks have the same B. The result is in the order of the ranks.
    """
    return gather_with_gradient(tensor.detach())


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Gathers as `gather`, `[B, ...] -> [world_size * B, ...]`, with gradient.

    The gradient of each rank's part is the sum over the losses of all ranks.
    """
    return torch.cat(differentiable_all_gather(tensor.contiguous())) if world_size() > 1 else tensor


def any_rank(answer: bool) -> bool:
    """Returns whether the value is true on any rank. All ranks get the same answer."""
    return mean_over_ranks(torch.tensor([float(answer)])).item() > 0


def mean_over_ranks(values: Tensor) -> Tensor:
    """Averages `[...]` over all ranks, on its own device. All ranks have the same shape."""
    if world_size() == 1:
        return values
    totals = values.clone()
    distributed.all_reduce(totals)
    return totals / world_size()


def _join() -> None:
    store, own, num_ranks = _open_store()
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", own)) % torch.cuda.device_count())
        shared = _gpu_is_shared(store, num_ranks)
        backend = f"cpu:gloo,cuda:{'gloo' if shared else 'nccl'}"
        if shared and own == 0:
            logger.warning("processes share a GPU: they exchange by gloo; one process per GPU is faster")
    distributed.init_process_group(backend, store=store, rank=own, world_size=num_ranks, timeout=_TIMEOUT)


def _open_store() -> tuple[distributed.Store, int, int]:
    """Returns the store through which the ranks of this start find each other, this rank and the number of ranks."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return next(rendezvous("env://", timeout=_TIMEOUT))
    own = int(os.environ["RANK"])
    return _fresh_store(own), own, int(os.environ["WORLD_SIZE"])


def _gpu_is_shared(store: distributed.Store, num_ranks: int) -> bool:
    """Returns whether any two ranks use the same GPU. All ranks ask, and get the same answer.

    Ranks are compared by their GPU's own number. Their number of a device does not tell, because a launcher may show
    each process another GPU as its only one.
    """
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
    if store.add(f"kdvideo/gpu/{gpu}", 1) > 1:
        store.set("kdvideo/shared", "yes")
    if store.add("kdvideo/ranks", 1) == num_ranks:
        store.set("kdvideo/all", "yes")
    store.wait(["kdvideo/all"])
    return store.check(["kdvideo/shared"])


def _fresh_store(own_rank: int) -> distributed.Store:
    """Opens a store of this start's own.

    torchrun keeps one store over all its restarts. In it, gloo and nccl find addresses of processes that have died (as
    in PyTorch's issue 135712). So rank 0 opens another store, and writes its port to torchrun's store.
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
        # A rank 0 that has died refuses the connection. With torch's store, this check takes long and fills the log.
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return distributed.TCPStore(host, port, wait_for_workers=False, timeout=_TIMEOUT)
        time.sleep(0.1)
    raise ConnectionError(f"rank 0 cannot be reached at {host}")


def _initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _is_lost_peer(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _tell_torchrun(error: Exception) -> None:
    """Writes the error to the place where torchrun looks for its "root cause". Elsewhere it does nothing."""
    get_error_handler().record_exception(error)
