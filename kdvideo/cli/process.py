"""Settings that only the command line makes in its process, not the library: the terminal log and malloc."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["long_work", "speaker"]


def speaker() -> str:
    """Returns "rank N: " if the run has several processes, else ""."""
    return f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""


@contextmanager
def long_work() -> Iterator[None]:
    """Shows kdvideo's log on standard error while a command trains or measures. Ranks above 0 show only warnings.

    From then on, malloc also keeps freed memory.
    """
    from kdvideo.engine.log import log_format
    from kdvideo.engine.memory import keep_freed_memory

    keep_freed_memory()
    logger, console = logging.getLogger("kdvideo"), logging.StreamHandler()
    console.setFormatter(log_format(speaker()))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(console)
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(console)
