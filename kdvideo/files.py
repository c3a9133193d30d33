"""Writes that are whole or absent, and hashes."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["file_sha256", "write_atomic", "write_text"]

_UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(_UMASK)


def file_sha256(path: Path) -> str:
    """The file's sha256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, makes it durable and renames it to `path`.

    A reader sees the old file or the new one, whole, also after a kill or a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # mkstemp's 0600 would hide a shared zoo's files from colleagues
        temporary.replace(path)
        _fsync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_atomic` for a text."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _fsync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
