"""Workers that are not forked leave the user's script alone, unless they are given something of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts import run_script

from kdvideo.workers import WorkerLost, explain_loss, explain_losses

SCRIPT = """
print("runs", flush=True)
import multiprocessing
multiprocessing.set_start_method("METHOD", force=True)
from kdvideo.data.checking.isolation import run_isolated
print(sorted(run_isolated(abs, [-1, -2], num_workers=1, time_limit=60.0)))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_script_is_run_once(method: str, tmp_path: Path):
    """Before, each worker began it anew: "All workers expired"."""
    done = run_script(tmp_path, SCRIPT.replace("METHOD", method))
    assert done.stdout == "runs\n[(-2, 2), (-1, 1)]\n", done.stderr
    assert done.stderr == ""


IMPORTS_ALL = """
import importlib, os, pkgutil, signal
for module, name in [(os, "posix_fallocate"), (os, "sched_getaffinity"), (os, "EX_TEMPFAIL"), (signal, "SIGUSR2"),
                     (signal, "SIGUSR1"), (signal, "pthread_sigmask"), (signal, "sigwaitinfo")]:
    delattr(module, name)
import kdvideo
for found in pkgutil.walk_packages(kdvideo.__path__, "kdvideo."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
from kdvideo.data import loader
from kdvideo.data.checking import isolation
isolation._begin_worker()
loader._ignore_stop_signals(0)
print(loader.STOP_SIGNALS == (signal.SIGTERM,))
"""


@pytest.mark.slow
def test_every_module_imports_without_what_linux_has():
    """As on Windows and macOS; what workers do first passes, too."""
    done = subprocess.run([sys.executable, "-c", IMPORTS_ALL], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


LAMBDA = """
import multiprocessing
multiprocessing.set_start_method("spawn", force=True)
from torch.utils.data import Dataset
from kdvideo.data.loader import create_loader

class Reads(Dataset):
    def __init__(self):
        self.read = lambda index: index
    def __len__(self):
        return 2

next(iter(create_loader(Reads(), batch_size=1, num_workers=1)))
"""


def test_what_cannot_be_sent_is_named(tmp_path: Path):
    """A lambda within a dataset."""
    done = run_script(tmp_path, LAMBDA)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: a worker process cannot be given a part of the dataset (")
    assert last.endswith("define it at the top of a module, or use no workers (DATA.NUM_WORKERS 0)")


def test_a_worker_that_is_reported_lost_anywhere():
    """PyTorch's signal handler raises in the middle of whatever runs; other errors stay as they are."""
    with pytest.raises(WorkerLost, match="was killed, as the system does when memory runs out"), explain_losses():
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="shapes differ"), explain_losses():
        raise RuntimeError("shapes differ")


def test_a_bus_error_has_two_causes():
    """Shared memory that is full, or a mapped file that is not given; a failed allocation has only one."""
    lost = str(explain_loss(RuntimeError("DataLoader worker (pid 1) is killed by signal: Bus error. "), []))
    assert "shared memory (/dev/shm) is full" in lost
    assert "or the disk of DATA.CACHE does not give frames any more" in lost
    assert "DATA.CACHE" not in str(explain_loss(RuntimeError("unable to allocate shared memory(shm)"), []))
