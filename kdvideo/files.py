"""Writes that are whole or absent, locks between processes, and hashes."""

import hashlib
import logging
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = [
    "allocate",
    "check_archive",
    "check_stored",
    "file_sha256",
    "locked",
    "make_durable",
    "publish_file",
    "remove_temporaries",
    "write_atomic",
    "write_text",
]

logger = logging.getLogger("kdvideo")

_TEMPORARY = ".tmp"
_NAME_BYTES = 255 - len(f"..RANDOM42{_TEMPORARY}")  # of a temporary file's name, less what stands around NAME
_ZEROS = 1 << 24  # bytes


def file_sha256(path: Path) -> str:
    """Returns the file's sha256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_archive(path: Path) -> None:
    """Compares each part of a zip file with its checksum, which `torch.load` does not.

    Raises:
        ValueError: the file is no whole zip file, a part of it is damaged, or is compressed.
    """
    check_stored(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a damaged header makes zipfile raise almost anything
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error})") from None
    if damaged is not None:
        raise ValueError(f"{path} is damaged: its part {damaged} has another checksum than when it was written")


def check_stored(path: Path) -> None:
    """Refuses a zip file whose parts are larger than itself: a few MB may be compressed terabytes.

    `torch.save` compresses nothing, so no genuine checkpoint is refused.

    Raises:
        ValueError: the file is no whole zip file; a part is compressed, or parts lie over each other.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except Exception as error:  # a damaged header makes zipfile raise almost anything
        raise ValueError(f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error})") from None
    compressed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if compressed or sum(part.file_size for part in parts) > path.stat().st_size:
        reason = f"its part {compressed[0]!r} is compressed" if compressed else "its parts are larger than the file"
        raise ValueError(f"{path} cannot be read as a checkpoint ({reason}, which torch.save does not write)")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, makes it durable and renames it to `path`.

    A reader sees the old file or the new one, whole, also after a kill or a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _create_beside(path)
    try:
        write(temporary)
        publish_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def publish_file(temporary: Path, path: Path) -> None:
    """Makes a finished file durable and renames it to `path`, in the same folder."""
    make_durable(temporary)
    temporary.replace(path)
    _fsync_directory(path.parent)


def allocate(descriptor: int, num_bytes: int) -> None:
    """Makes an open file `num_bytes` long, with its blocks on the disk, so that a map of it never meets a full disk.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, num_bytes)
        return
    # macOS and Windows: writing zeros behind what is there allocates, too.
    missing = num_bytes - os.lseek(descriptor, 0, os.SEEK_END)
    while missing > 0:
        missing -= os.write(descriptor, bytes(min(missing, _ZEROS)))


def make_durable(path: Path) -> None:
    """Returns when the file's content would outlive a power cut."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a text as `write_atomic` does."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remove_temporaries(directory: Path, *, of: Iterable[str] | None = None) -> None:
    """Removes what killed processes left of `write_atomic`, of all files or of those named.

    The caller holds the lock of all who write them.
    """
    names = None if of is None else {_shorten(name) for name in of}
    for path in directory.glob(f".*{_TEMPORARY}"):
        name = path.name.removeprefix(".").removesuffix(_TEMPORARY).rpartition(".")[0]  # of .NAME.RANDOM.tmp
        if (names is None or name in names) and (path.is_symlink() or not path.is_dir()):
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, timeout: float, what: str) -> Iterator[None]:
    """Holds the lock file `path`, which the system lifts when the process dies; the same thread may take it twice.

    Args:
        path: the lock's file; its folder is made.
        timeout: seconds to wait for another process.
        what: who holds the lock, for the message, e.g. "another process publishes into /zoo".

    Raises:
        TimeoutError: it is still held after `timeout`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("%s: waiting for it, at most %.0f s", what, timeout)
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            raise TimeoutError(f"{what}, for more than {timeout:.0f} s; its lock is {path}: try again later") from None
    try:
        yield
    finally:
        lock.release()


def _fsync_directory(directory: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create_beside(path: Path) -> Path:
    """Creates an empty file, `.NAME.RANDOM.tmp`, with the rights that any new file of the user has.

    A shared zoo's files are for colleagues to read, which the 0600 of `tempfile` would prevent.
    """
    while True:
        temporary = path.with_name(f".{_shorten(path.name)}.{secrets.token_hex(4)}{_TEMPORARY}")
        try:
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            continue
        return temporary


def _shorten(name: str) -> str:
    """Returns a name that leaves room for what a temporary file's name adds to it."""
    while len(os.fsencode(name)) > _NAME_BYTES:
        name = name[:-1]
    return name
