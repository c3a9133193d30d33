"""Runs a command of kdvideo, and keeps in a file how many seconds of the processor its process has used.

    python benchmarks/distillation/timed.py FILE train --config-file ..

FILE has a line per start. The own line, the last one, is written at once, every few seconds, and at the end: of a start
that is killed, it misses no more than those.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdvideo.files import write_text

__all__ = ["EVERY", "recording"]

EVERY = 10.0  # seconds between two writes


@contextmanager
def recording(path: Path, every: float = EVERY) -> Iterator[None]:
    """Keeps the processor's seconds of this process and its ended children in the last line of a file.

    Args:
        path: the file. Lines that are in it stay.
        every: seconds between two writes.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    ended = threading.Event()

    def write() -> None:
        write_text(path, f"{before}{sum(os.times()[:4]):.1f}\n")

    def write_often() -> None:
        while not ended.wait(every):
            with suppress(OSError):  # a run that starts removes temporary files of its folder; the next write counts
                write()

    write()
    writer = threading.Thread(target=write_often, daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        write()


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as with -m: the files beside this one are no modules of a run
    from kdvideo.cli import main

    with recording(Path(sys.argv[1])):
        code = main(sys.argv[2:])
    sys.exit(code)
