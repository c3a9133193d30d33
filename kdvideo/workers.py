"""Worker processes: how they are started, and which parts of the user's script they need.

If processes are not forked (Windows, macOS, Python 3.14, `multiprocessing.set_start_method`), each new Python process
runs the main script again, to find the objects that it receives. If the top level of a script starts training, each
worker then starts it again. kdvideo's workers need the script only if they receive an object from it.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext, SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pickle import PicklingError
from types import ModuleType
from typing import Any

__all__ = [
    "NO_MEMORY",
    "WorkerLost",
    "end_if_rerun",
    "explain_loss",
    "explain_losses",
    "fresh_context",
    "worker_context",
    "workers_start",
]

_RERUN_CODE = 77  # exit code of a worker that has reached the script's calls
_NAME = "kdvideo-worker"
_BUS_ERROR = "killed by signal: Bus error"  # a mapped page has no memory, or its file does not give it
_OR_NO_FRAMES = "; or the disk of DATA.CACHE does not give frames any more: look at `df /dev/shm` and `dmesg`"
_NO_SHARED_MEMORY = (
    _BUS_ERROR,
    "unable to allocate shared memory",
    "unable to write to file </torch",
)
NO_MEMORY = ("can't allocate memory", "not enough memory")  # messages of PyTorch's allocators for the CPU
_WORKER_DIED = ("killed by signal", "exited unexpectedly")
_FEWER = "lower DATA.NUM_WORKERS (--workers)"
_swapping = threading.Lock()  # pebble starts its workers from a thread


class WorkerLost(MemoryError):
    """A worker has ended, or has no memory left. The message says what to do, in one line."""


class _WorkerProcess(SpawnProcess):
    """A spawned process that runs the user's script again only if it receives an object from the script."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, "name": _NAME})

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        try:
            with _swapping, _without_script():
                return SpawnProcess._Popen(process_obj)
        except (PicklingError, AttributeError):  # it receives an object from the script, so it has to run the script
            return _start_with_script(process_obj)


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


def worker_context() -> BaseContext:
    """Returns the context for worker processes: fork if that is the start method, otherwise `_WorkerProcess`."""
    context = multiprocessing.get_context()
    return context if context.get_start_method() == "fork" else _WorkerContext()


def fresh_context() -> BaseContext:
    """Returns the context for processes that begin as a new Python and inherit only environment variables."""
    return _WorkerContext()


def end_if_rerun() -> None:
    """Ends a kdvideo worker that has come here by running the user's script. Its parent process reports the reason.

    Every function that trains, measures or starts processes calls it first.
    """
    process = multiprocessing.current_process()
    if process.name.startswith(_NAME) and getattr(process, "_inheriting", False):
        os._exit(_RERUN_CODE)


@contextmanager
def workers_start() -> Iterator[None]:
    """Turns the system's error into one line if a process or its semaphore cannot be created.

    Raises:
        WorkerLost: says what to do.
    """
    try:
        yield
    except OSError as error:
        raise WorkerLost(f"no process that reads videos can be started ({error.strerror or error}): {_FEWER}") from None


def explain_loss(error: RuntimeError | MemoryError, exit_codes: Collection[int | None]) -> WorkerLost | None:
    """Returns what happened to a loader's workers and what to do. None for any other kind of error.

    Args:
        error: the error of PyTorch's loader.
        exit_codes: the exit codes of its workers. None for a running worker.
    """
    text = str(error)
    if _RERUN_CODE in exit_codes:
        return WorkerLost(
            "each process that reads videos would run the whole script again, in which a part of the dataset is "
            'defined: put what the script calls under `if __name__ == "__main__":`'
        )
    if any(words in text for words in _NO_SHARED_MEMORY):
        full = f"shared memory (/dev/shm) is full: {_FEWER} or allow more, in docker by --shm-size"
        return WorkerLost(f"{full}{_OR_NO_FRAMES if _BUS_ERROR in text else ''}")
    if "DataLoader worker" not in text:
        return None
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        return WorkerLost(f"out of memory in a process that reads videos: {_FEWER} or SOLVER.BATCH_SIZE")
    if any(words in text for words in _WORKER_DIED):
        return WorkerLost(f"a process that reads videos was killed, as the system does when memory runs out: {_FEWER}")
    return None


@contextmanager
def explain_losses() -> Iterator[None]:
    """Explains lost workers that PyTorch reports outside its loader.

    PyTorch's signal handler raises the error at whatever line the main thread has reached.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if (lost := explain_loss(error, [])) is None:
            raise
        raise lost from None


@contextmanager
def _without_script() -> Iterator[None]:
    """Hides the main script: no object can be found in it, and its file is unknown."""
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _start_with_script(process_obj: BaseProcess) -> Any:
    try:
        return SpawnProcess._Popen(process_obj)
    except (PicklingError, AttributeError) as error:
        raise ValueError(
            f"a worker process cannot be given a part of the dataset ({error}): define it at the top of a module, or "
            "use no workers (DATA.NUM_WORKERS 0)"
        ) from None
