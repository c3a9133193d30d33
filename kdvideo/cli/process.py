"""What the command line sets in its own process, and the library leaves alone: the log on the terminal, and malloc."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["long_work", "speaker"]


def speaker() -> str:
    """Returns "rank N: " in a run of several processes, else nothing."""
    return f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""


@contextmanager
def long_work() -> Iterator[None]:
    """Shows kdvideo's log on standard error while a command trains or measures; of ranks above 0 warnings alone.

    Also lets malloc keep freed memory, from then on.
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
