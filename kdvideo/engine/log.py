"""The log of a run, in a file beside its metrics."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdvideo.distributed import is_main
from kdvideo.names import SHOWN

__all__ = ["log_format", "log_to"]

logger = logging.getLogger("kdvideo")


def log_format(speaker: str = "") -> logging.Formatter:
    """Returns how a line of the log looks; `speaker` says who of several processes writes it."""
    return logging.Formatter(f"[%(asctime)s] {speaker}%(message)s", datefmt="%H:%M:%S")


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Writes what kdvideo says to a file as well, from INFO up; of several ranks, rank 0 alone does.

    Where messages go otherwise stays as it is: a handler would keep Python from printing the warnings of a program that
    has set up no logging, so the file gets its lines from a filter, which lets through what was shown before.
    """
    if not is_main():
        yield
        return
    file = _LogFile(path, encoding="utf-8", errors=SHOWN)
    file.setFormatter(log_format())
    level, shown = logger.level, logger.getEffectiveLevel()

    def write(record: logging.LogRecord) -> bool:
        file.handle(record)
        return record.levelno >= shown

    logger.addFilter(write)
    logger.setLevel(min(shown, logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeFilter(write)
        file.close()


class _LogFile(logging.FileHandler):
    """A log that ends no run: one stops where something that matters cannot be written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, unless the file cannot be opened again after another library has closed all handlers."""
        with suppress(OSError):  # its folder may be gone by then
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Says nothing of a full disk, where there would be one traceback per line."""
