"""Work on files that may hang or crash: in separate processes, with a time limit per file."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, TimeoutError, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from kdvideo.extras import extra_imports
from kdvideo.workers import end_if_rerun, worker_context

__all__ = ["Failure", "available_cores", "run_isolated"]

T = TypeVar("T")
R = TypeVar("R")

_CGROUP = Path("/sys/fs/cgroup")  # of a container: what docker and Kubernetes allow it


@dataclass(frozen=True)
class Failure:
    """Why an item has no result.

    Attributes:
        reason: in one line.
        timed_out: whether the item took longer than the time limit.
    """

    reason: str
    timed_out: bool = False


def run_isolated(
    function: Callable[[T], R], items: Sequence[T], *, num_workers: int, time_limit: float
) -> Iterator[tuple[T, R | Failure]]:
    """Calls `function` on every item in worker processes.

    Each result comes as soon as it is ready. A worker that dies or takes too long is replaced, and its item's result is
    a `Failure`; the others go on. The workers end with this process, however it ends.

    Args:
        function: a module's function, so that it can be sent to a process.
        items: each is given to one call.
        num_workers: how many processes work at once.
        time_limit: seconds per item.

    Yields:
        An item and its result.

    Raises:
        Exception: whatever `function` raises.
        ChildProcessError: no worker can be started.
        MissingExtraError: pebble is not installed.
    """
    with extra_imports():
        from pebble import ProcessPool
    end_if_rerun()
    workers = min(num_workers, max(len(items), 1))
    with ProcessPool(max_workers=workers, initializer=_begin_worker, context=worker_context()) as pool:
        futures: dict[Future[R], T] = {pool.schedule(function, args=[item], timeout=time_limit): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures.pop(future), _outcome(future, time_limit)
        except BaseException:  # also when the generator is closed: leaving the pool would wait for all items
            pool.stop()
            raise


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Returns how many cores this process may use.

    A cluster's job has fewer than the machine. A container may see all cores, and get the time of a few.

    Args:
        cgroup: the folder that says how much time the container gets.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _quota(cgroup) or cores)


def _quota(cgroup: Path) -> int | None:
    """Returns a container's time as a number of cores, rounded up. None if nothing limits it."""
    version_1 = (cgroup / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
    for files in ([cgroup / "cpu.max"], version_1):
        try:
            quota, period = (int(word) for file in files for word in file.read_text().split())
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
        return math.ceil(quota / period) if quota > 0 else None
    return None


def _outcome(future: Future[Any], time_limit: float) -> Any:
    from pebble import ProcessExpired

    try:
        return future.result()
    except TimeoutError:
        return Failure(f"takes longer than {time_limit:g} s", timed_out=True)
    except ProcessExpired as error:
        return Failure(f"makes its reader crash ({_describe_exit(error.exitcode)})")
    except BrokenExecutor as error:
        raise ChildProcessError(f"the processes that read videos end when they start ({error}): use fewer") from None


def _describe_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _begin_worker() -> None:
    torch.set_num_threads(1)
    if hasattr(signal, "SIGUSR2"):  # not on Windows
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm warns every process of a job: no video's fault
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
