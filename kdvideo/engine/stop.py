"""Stops a run from outside. A signal sets a flag, and the trainer checks the flag after every step."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from kdvideo.data.loader import STOP_SIGNALS
from kdvideo.data.readers.outage import allow_waiting

__all__ = ["Preempted", "StopRequest", "Stopping", "never_stop", "stop_signals"]

Stopping = Callable[[], AbstractContextManager[Callable[[], bool]]]  # entered while a run trains; gives `should_stop`

# Slurm signals every process of a job's step, and torchrun passes its signals on: one request may arrive twice.
_SAME_REQUEST = 2.0  # seconds
logger = logging.getLogger("kdvideo")


class Preempted(Exception):
    """Training stopped between two steps because it was asked to. A checkpoint has the state at that moment."""


class StopRequest:
    """Whether the process has been asked to stop. Calling it returns the answer, as `Trainer.should_stop` does."""

    def __init__(self) -> None:
        self.came_at: float | None = None

    def __call__(self) -> bool:
        """Returns True after the first signal."""
        return self.came_at is not None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Sets the flag at the first signal. A later signal ends the process."""
        now = time.monotonic()
        if self.came_at is None:
            self.came_at = now
            allow_waiting(False)
            logger.warning("%s: stopping after this step, with a checkpoint", signal.Signals(number).name)
        elif now - self.came_at > _SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def never_stop() -> Iterator[Callable[[], bool]]:
    """Does not handle signals. A signal to stop ends the process, and the last checkpoint is complete."""
    yield lambda: False


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Yields a flag that SIGTERM and SIGUSR2 set.

    Outside of the main thread, it does not handle signals.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        allow_waiting(True)
