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

# The clock is the test's own: a signal comes 0, 1.9 and 2.1 seconds after the first one.
WAITING = """
import os
import time
import types
from kdvideo.engine import stop

moments = iter([0.0, 1.9, 2.1])
stop.time = types.SimpleNamespace(monotonic=lambda: next(moments))
handle = stop.StopRequest.handle

def tell(self, number, frame):
    handle(self, number, frame)
    os.write(1, b"asked\\n" if self() else b"not asked\\n")

stop.StopRequest.handle = tell
with stop.stop_signals():
    os.write(1, b"ready\\n")
    while True:
        time.sleep(1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_the_first_signal_asks_and_a_later_one_kills(number: signal.Signals):
    """The same one twice within two seconds, as torchrun under Slurm sends it, is one wish."""
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n"
    process.send_signal(number)
    assert process.stdout.read() == ""  # it ends before it could tell
    assert process.wait() == -number


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
    worker.join()
    assert worker.exitcode == 0
    del batches
