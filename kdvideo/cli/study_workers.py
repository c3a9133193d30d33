"""The processes in which `kdvideo study run` trains. Each one trains many runs, one after the other.

So Python, torch and a GPU are started once per process, not once per run. A process goes on only after a run that has
ended well: memory that ran out, or a GPU in an error state, would also end the runs after it.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from kdvideo.workers import fresh_context, workers_start

__all__ = ["RUNS_PER_GPU", "Workers", "default_at_once", "visible_gpus", "workers"]

RUNS_PER_GPU = 8  # trains 5.5 epochs of small networks a second on an H100, 12 runs train 4.7: docs/gpu.md


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    place: int
    busy: bool = False

    def poll(self) -> int | None:
        """Returns None while its run lasts, then the exit code."""
        if self.connection.poll():
            with suppress(EOFError, OSError):  # the process has ended
                code: int = self.connection.recv()
                self.busy = False
                return code
            self.process.join()
        # Loaders' workers keep the connection open for some seconds after their parent process was killed.
        return self.process.exitcode


class Workers:
    """Processes that run kdvideo's commands. A process that has ended is replaced when it is needed.

    Args:
        count: number of processes.
        threads: threads of each process.
        gpus: names of GPUs, as in CUDA_VISIBLE_DEVICES. The processes take them in turn. If empty, they see all GPUs.
    """

    def __init__(self, count: int, *, threads: int = 1, gpus: Sequence[str] = ()) -> None:
        self.threads = threads
        self.gpus = gpus
        self._workers: list[_Worker | None] = [None] * count

    def start(self, arguments: Sequence[str], log: Path) -> Callable[[], int | None]:
        """Runs a command in a process that has nothing to do. There must be one.

        Args:
            arguments: the arguments of `kdvideo`.
            log: the file to which the command's output is appended.

        Returns:
            A function that returns None while the command runs, then its exit code. A negative code is a signal's.
        """
        place = next(place for place, worker in enumerate(self._workers) if worker is None or not worker.busy)
        worker = self._workers[place]
        if worker is None or not worker.process.is_alive():
            worker = self._workers[place] = self._start_worker(place)
        worker.busy = True
        worker.connection.send((list(arguments), str(log)))
        return lambda: self._poll(worker)

    def stop(self) -> None:
        """Asks all processes to stop, and waits for them. Each one writes a checkpoint of its run."""
        for worker in self._alive():
            worker.process.terminate()
        self.close()

    def close(self) -> None:
        """Ends the processes after their current commands."""
        for worker in self._alive():
            worker.connection.close()
        for worker in self._alive():
            worker.process.join()
        self._workers = [None] * len(self._workers)

    def _poll(self, worker: _Worker) -> int | None:
        code = worker.poll()
        if code is not None and worker.busy:
            self._workers[worker.place] = None
        return code

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker is not None]

    def _start_worker(self, place: int) -> _Worker:
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        context = fresh_context()
        connection, other_end = context.Pipe()
        about_study = (os.getpid(), multiprocessing.get_start_method())
        process = context.Process(target=_work, args=(other_end, environment, *about_study))  # type: ignore[attr-defined]
        with workers_start():
            process.start()
        other_end.close()  # so that the process's end is noticed
        return _Worker(process, connection, place)


@contextmanager
def workers(count: int, *, threads: int, gpus: Sequence[str]) -> Iterator[Workers]:
    """Yields `Workers`. If the block ends with an error or Ctrl-C, they stop with checkpoints of their runs."""
    pool = Workers(count, threads=threads, gpus=gpus)
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    pool.close()


def default_at_once(*, submitted: bool = False) -> int:
    """Returns how many runs to train at a time: one per core, and not more than the GPUs take, if there are any.

    Args:
        submitted: whether the runs are jobs on other machines, whose GPUs are unknown.
    """
    from kdvideo.data.checking.isolation import available_cores

    gpus = [] if submitted else visible_gpus()
    return min(available_cores(), RUNS_PER_GPU * len(gpus)) if gpus else available_cores()


def visible_gpus() -> list[str]:
    """Returns the names of the GPUs that torch can use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] or [str(number) for number in range(count)]


def _work(connection: Connection, environment: Mapping[str, str], study: int, start_method: str) -> None:
    """Runs the commands that arrive. The process ends after a command that fails, and when the study has ended."""
    os.environ.update(environment)  # before torch is imported
    multiprocessing.set_start_method(start_method, force=True)  # for loaders' workers; it would be this process's own
    _end_with(study)
    while True:
        try:
            arguments, log = connection.recv()
        except (EOFError, OSError):
            return
        _write_to(Path(log))
        if code := _run(arguments):
            sys.exit(code)
        with suppress(OSError):
            connection.send(0)


def _run(arguments: Sequence[str]) -> int:
    from kdvideo.cli import main

    sys.argv = ["kdvideo", *arguments]  # for the run's environment.json
    with warnings.catch_warnings():  # so that each run's log has its own warnings
        code = main(arguments)
    _forget_run()
    return code


def _forget_run() -> None:
    """Frees what a run leaves in its process: memory of the CPU and the GPU, and compiled code."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    torch.cuda.empty_cache()


def _end_with(study: int) -> None:
    """Lets this process hear of its study's end, and of nothing else.

    Ctrl-C reaches only the study, which sends SIGTERM. If the study is killed, the system sends it.
    """
    if os.name != "posix":
        return
    os.setsid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, Linux only
    if os.getppid() != study:
        sys.exit(1)


def _write_to(log: Path) -> None:
    """Appends to a file what this process and its loaders' workers print from now on."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
