"""Signals that stop a run, sent to real processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest
from torch.utils.data import Dataset

from kdvideo.data.loader import create_loader
from kdvideo.engine.stop import stop_signals

WAITING = """
import time
from kdvideo.engine import stop
stop._SAME_REQUEST = 0.2
with stop.stop_signals() as request:
    print("ready", flush=True)
    while not request():
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_the_first_signal_asks_and_a_later_one_kills(number: signal.Signals):
    """The same one twice at once, as torchrun under Slurm sends it, is one wish."""
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(number)
    assert process.wait(10) == -number


def test_handlers_are_put_back():
    """Also after an error; and a thread that may not set any is left alone."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError, match=r"StopRequest\.handle"), stop_signals():
        raise KeyError(signal.getsignal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == before
    seen = []

    def in_thread() -> None:
        with stop_signals() as request:
            seen.append(request())

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [False]


class _SignalsItself(Dataset):
    def __getitem__(self, index: int) -> int:
        for number in (signal.SIGTERM, signal.SIGUSR2):
            subprocess.run(["kill", f"-{number}", str(os.getpid())], check=True)
        return index

    def __len__(self) -> int:
        return 4


def test_workers_go_on_reading():
    """Slurm signals them too; they end when the run says so."""
    loader = create_loader(_SignalsItself(), batch_size=2, num_workers=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]
    batches = iter(loader)
    next(batches)
    (worker, _) = multiprocessing.active_children()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0
    del batches
