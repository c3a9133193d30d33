"""Runs a function as a user for whom permissions count: for root, under whom tests often run, they do not."""

import encodings.utf_8_sig  # noqa: F401 - the other user may not be allowed to import what the function needs late
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

OTHER = 12345  # without an entry in /etc/passwd


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            place.chmod(0o755)
        rmtree(folder)


def as_other_user(function: Callable[[], object]) -> str:
    """What a function returns, as text, or the error that it ends in; a process of its own runs it."""
    if os.geteuid() != 0:
        return _answer(function)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads; the child calls plain Python
        child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(OTHER)
        os.setuid(OTHER)
        os.write(writer, _answer(function).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return answer


def _answer(function: Callable[[], object]) -> str:
    try:
        return str(function())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
