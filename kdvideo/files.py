"""Atomic file writes, locks between processes, and hashes."""

import errno
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
    "is_locked",
    "locked",
    "make_durable",
    "publish_file",
    "remove_temporaries",
    "write_atomic",
    "write_text",
]

logger = logging.getLogger("kdvideo")

_TEMPORARY = ".tmp"
_NAME_BYTES = 255 - len(f"..RANDOM42{_TEMPORARY}")  # longest NAME in the name of a temporary file
_ZEROS = 1 << 24  # size in bytes


def file_sha256(path: Path) -> str:
    """Returns the file's sha256 as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_archive(path: Path) -> None:
    """Compares each part of a zip file with its checksum. `torch.load` does not do this.

    Raises:
        ValueError: the file is not a complete zip file, or a part is damaged or compressed.
    """
    check_stored(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # zipfile may raise almost anything for a damaged header
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error})") from None
    if damaged is not None:
        raise ValueError(f"{path} is damaged: its part {damaged} has another checksum than when it was written")


def check_stored(path: Path) -> None:
    """Refuses a zip file whose parts are larger than the file: a few MB could unpack to terabytes.

    `torch.save` compresses nothing, so no genuine checkpoint is refused.

    Raises:
        ValueError: the file is not a complete zip file, a part is compressed, or parts overlap.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except Exception as error:  # zipfile may raise almost anything for a damaged header
        raise ValueError(f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error})") from None
    compressed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if compressed or sum(part.file_size for part in parts) > path.stat().st_size:
        reason = f"its part {compressed[0]!r} is compressed" if compressed else "its parts are larger than the file"
        raise ValueError(f"{path} cannot be read as a checkpoint ({reason}, which torch.save does not write)")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Writes `path` atomically: `write` fills a temporary file beside it, which is made durable and renamed.

    A reader sees either the complete old file or the complete new one, also after a kill or a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _create_beside(path)
    try:
        write(temporary)
        publish_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def publish_file(temporary: Path, path: Path) -> None:
    """Makes a finished file durable and renames it to `path`, which is in the same folder."""
    make_durable(temporary)
    temporary.replace(path)
    _fsync_directory(path.parent)


def allocate(descriptor: int, num_bytes: int) -> None:
    """Extends an open file to `num_bytes` and allocates its blocks, so that a map of it never meets a full disk.

    Raises:
        OSError: the disk has no room. Nothing is allocated then.
    """
    if hasattr(os, "fstatvfs"):
        disk = os.fstatvfs(descriptor)
        missing = num_bytes - os.fstat(descriptor).st_size
        if missing > disk.f_bavail * disk.f_frsize:  # the system would fill the disk before it says so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, num_bytes)
        return
    # macOS and Windows: writing zeros at the end also allocates.
    missing = num_bytes - os.lseek(descriptor, 0, os.SEEK_END)
    while missing > 0:
        missing -= os.write(descriptor, bytes(min(missing, _ZEROS)))


def make_durable(path: Path) -> None:
    """Returns when the file's content would survive a power cut."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Writes a text atomically, as `write_atomic` does."""
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remove_temporaries(directory: Path, *, of: Iterable[str] | None = None) -> None:
    """Removes the temporary files that killed processes left, of all files or of the named ones.

    The caller holds the lock of all processes that write these files.
    """
    names = None if of is None else {_shorten(name) for name in of}
    for path in directory.glob(f".*{_TEMPORARY}"):
        name = path.name.removeprefix(".").removesuffix(_TEMPORARY).rpartition(".")[0]  # from .NAME.RANDOM.tmp
        if (names is None or name in names) and (path.is_symlink() or not path.is_dir()):
            path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, timeout: float, what: str) -> Iterator[None]:
    """Holds the lock file `path`. The system releases it when the process dies. A thread may take it twice.

    Args:
        path: path of the lock file. Its folder is created.
        timeout: number of seconds to wait for another process.
        what: who holds the lock, for the message, e.g. "another process publishes into /zoo".

    Raises:
        TimeoutError: another process still holds the lock after `timeout`.
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


def is_locked(path: Path) -> bool:
    """Returns whether some process holds the lock file `path`. The user need not be allowed to write it."""
    try:
        import fcntl
    except ImportError:  # Windows has other locks
        return False
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing the file releases it
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it cannot be read
        return False
    return False


def _fsync_directory(directory: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create_beside(path: Path) -> Path:
    """Creates an empty file `.NAME.RANDOM.tmp` with the permissions of any new file of the user.

    Colleagues need to read the files of a shared zoo. The mode 0600 of `tempfile` would prevent this.
    """
    while True:
        temporary = path.with_name(f".{_shorten(path.name)}.{secrets.token_hex(4)}{_TEMPORARY}")
        try:
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            continue
        return temporary


def _shorten(name: str) -> str:
    """Returns a name short enough for the additions of a temporary file's name."""
    while len(os.fsencode(name)) > _NAME_BYTES:
        name = name[:-1]
    return name
