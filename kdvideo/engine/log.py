"""The log file of a run, beside its metrics."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdvideo.distributed import is_main
from kdvideo.names import SHOWN

__all__ = ["log_format", "log_to"]

logger = logging.getLogger("kdvideo")


def log_format(speaker: str = "") -> logging.Formatter:
    """Returns the format of a log line. `speaker` says which of several processes writes it."""
    return logging.Formatter(f"[%(asctime)s] {speaker}%(message)s", datefmt="%H:%M:%S")


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Writes kdvideo's messages from level INFO also to a file. With several ranks, rank 0 alone writes.

    Other outputs of the log do not change. The file gets its lines from a filter, which passes on only the records that
    were shown before. With a handler instead, Python would not print a program's warnings without logging set up.
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
    """A log file whose errors never end a run. A run stops only if it cannot write something that matters."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, unless another library has closed all handlers and the file cannot be opened again."""
        with suppress(OSError):  # the folder may have been deleted
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignores errors such as a full disk, which would print one traceback per line."""
