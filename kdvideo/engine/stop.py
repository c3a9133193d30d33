"""Stopping a run from outside: a signal raises a flag, and the trainer looks at it after every step."""

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

# Slurm signals every process of a job's step, and torchrun hands on what it got: one wish to stop may come twice.
_SAME_REQUEST = 2.0  # seconds
logger = logging.getLogger("kdvideo")


class Preempted(Exception):
    """Training was asked to stop and did, between two steps; a checkpoint has that moment."""


class StopRequest:
    """Whether the process has been asked to stop; calling it answers, as `Trainer.should_stop` does."""

    def __init__(self) -> None:
        self.came_at: float | None = None

    def __call__(self) -> bool:
        """Returns True from the first signal on."""
        return self.came_at is not None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raises the flag at the first signal; a later one ends the process."""
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
    """Leaves signals alone: what asks the process to stop ends it, and the last checkpoint is whole."""
    yield lambda: False


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Lets SIGTERM and SIGUSR2 raise the flag that it gives.

    Outside of the main thread nothing changes.
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
