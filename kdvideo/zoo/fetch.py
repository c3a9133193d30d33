"""Fetches weights. Handles offline mode, mirrors, files got by hand, and hashes that nobody has published."""

import datetime
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import simplejson

from kdvideo.files import file_sha256, locked, write_atomic, write_text
from kdvideo.foreign import check_fields, parse_json, read_text
from kdvideo.paths import expand_user, kdvideo_home
from kdvideo.zoo import download as downloads
from kdvideo.zoo.download import download
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.remote import PATH_MANAGER, ReadOnlyHandler, check_scheme

__all__ = [
    "FetchedFile",
    "RecordedHash",
    "download_path",
    "expected_sha256",
    "fetch_address",
    "fetch_entry",
    "is_offline",
    "path_of_address",
    "recorded_hash",
    "refuse_offline",
    "take_file",
    "try_addresses",
]

_LOCK_SECONDS = 6 * 3600.0  # another process may be downloading the same large file over a slow line


@dataclass(frozen=True)
class RecordedHash:
    """The hash of a first download that no publisher vouches for.

    It stays when the file is removed.

    Attributes:
        sha256: the hash of the whole file.
        size: its size in bytes.
        source: where the file came from.
        date: the day of the download, YYYY-MM-DD.
    """

    sha256: str
    size: int
    source: str
    date: str

    @classmethod
    def of_file(cls, path: Path, *, sha256: str, source: str) -> Self:
        """Describes a file that was downloaded today."""
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        return cls(sha256=sha256, size=path.stat().st_size, source=source, date=today)


class FetchedFile(NamedTuple):
    """A checked file among the downloads, with its hash."""

    path: Path
    sha256: str


def is_offline() -> bool:
    """Returns whether `KDVIDEO_OFFLINE` forbids the network."""
    return os.environ.get("KDVIDEO_OFFLINE", "").lower() not in ("", "0", "false", "no", "off")


def download_path(entry: ZooEntry) -> Path:
    """Returns where an entry's fetched file lies."""
    return kdvideo_home() / "downloads" / entry.name / entry.file


def expected_sha256(entry: ZooEntry) -> str:
    """Returns the digits that a file's hash must begin with.

    They are the publisher's, else those of the first download, and none before it.
    """
    known = entry.sha256 or ""
    if entry.is_verified:
        return known
    recorded = recorded_hash(entry.name)
    return recorded.sha256 if recorded and recorded.sha256.startswith(known) else known


def recorded_hash(name: str) -> RecordedHash | None:
    """Reads what the first download of an entry recorded. Returns None if there was none.

    Raises:
        ValueError: the record is damaged.
    """
    path = Zoo.user().record_path(name)
    if not path.exists():
        return None
    try:
        values = parse_json(read_text(path))
        check_fields(values, RecordedHash, what="a record")
    except ValueError as error:
        raise ValueError(f"{path} is no record of a hash ({error}): remove it if you trust its weights anew") from None
    record = RecordedHash(**values)
    if not re.fullmatch("[0-9a-f]{64}", record.sha256):
        raise ValueError(
            f"{path} is no record of a hash: sha256 is {record.sha256!r}; remove it if you trust its weights anew"
        )
    return record


def fetch_entry(entry: ZooEntry) -> FetchedFile:
    """Fetches the entry's file unless a correct copy is here.

    Raises:
        ValueError: the file cannot be fetched. Says what was tried, or what to do by hand.
        TimeoutError: another process has been fetching it for hours.
    """

    def fetch(target: Path, sha256: str) -> str:
        return try_addresses(entry, lambda address: _bring(address, target, sha256=sha256, size=entry.size))

    return _ensure(entry, fetch)


def take_file(entry: ZooEntry, file: Path) -> FetchedFile:
    """Takes a file that was got by hand. Its size and hash must be right.

    Raises:
        ValueError: the file does not exist, or is another one.
    """
    if not file.is_file():
        raise ValueError(f"{file} does not exist")

    def copy(target: Path, sha256: str) -> str:
        _copy(str(file), target, sha256=sha256, size=entry.size)
        return file.name

    return _ensure(entry, copy)


def fetch_address(address: str, *, again: bool = False, most_bytes: int | None = None) -> Path:
    """Fetches the file at an address that belongs to no entry.

    It is kept under KDVIDEO_HOME, named by the hash of the whole address.

    Args:
        address: an address with a scheme that iopath knows, or a path, which is returned as it is.
        again: whether to fetch a file that has been fetched before: its content may have changed.
        most_bytes: the largest file that is fetched.

    Raises:
        ValueError: the file cannot be fetched, or is larger.
    """
    if "://" not in check_scheme(address):
        return expand_user(address)
    path = path_of_address(address)
    if path.exists() and not again:
        return path
    with _fetch_lock(path):
        if again or not path.exists():
            refuse_offline(address)
            _bring(address, path, sha256="", size=None, most_bytes=most_bytes)
    return path


def path_of_address(address: str) -> Path:
    """Returns where the file of an address is or will be."""
    name = f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{Path(address.partition('?')[0]).name}"
    return kdvideo_home() / "downloads" / name


def refuse_offline(address: str) -> None:
    """Raises ValueError if `KDVIDEO_OFFLINE` forbids to fetch an address."""
    if is_offline():
        raise ValueError(f"{address} is not on this machine and KDVIDEO_OFFLINE forbids to fetch it")


def _ensure(entry: ZooEntry, bring: Callable[[Path, str], str]) -> FetchedFile:
    """Makes sure that the entry's file is here and correct.

    Otherwise `bring(path, sha256)` makes it. A hash that nobody has published is recorded.
    """
    path = download_path(entry)
    if path.is_file() and (known := file_sha256(path)) == expected_sha256(entry):
        return FetchedFile(path, known)  # also in another user's home, where this process cannot take a lock
    with _fetch_lock(path):
        expected = expected_sha256(entry)
        actual = file_sha256(path) if path.is_file() else ""
        source = ""
        if not actual or not actual.startswith(expected):
            source = bring(path, expected)
            actual = file_sha256(path)
        if len(expected) < 64:
            record = RecordedHash.of_file(path, sha256=actual, source=source)
            write_text(Zoo.user().record_path(entry.name), simplejson.dumps(asdict(record), indent=2) + "\n")
    return FetchedFile(path, actual)


def try_addresses(entry: ZooEntry, attempt: Callable[[str], None]) -> str:
    """Tries the mirror, then the entry's addresses. Returns the first one that `attempt` does not refuse."""
    mirror = os.environ.get("KDVIDEO_MIRROR", "")
    mirrored = [f"{mirror.rstrip('/')}/{entry.file}"] if mirror else []
    addresses = [*mirrored, *entry.urls]
    if is_offline():
        addresses = [address for address in addresses if "://" not in address]  # a mirror may be a folder
    reasons = []
    for address in addresses:
        try:
            if address not in mirrored:
                _check_address(address, entry)
            attempt(check_scheme(address))
            return address
        except ValueError as error:
            reasons.append(str(error))
    if is_offline():
        reasons.append(
            f"they are not on this machine and KDVIDEO_OFFLINE forbids to fetch them; "
            f"`kdvideo zoo fetch {entry.name} --from FILE` takes a copy"
        )
    elif entry.manual:
        reasons.append(
            f"no program can fetch them: {entry.manual}; then `kdvideo zoo fetch {entry.name} --from {entry.file}`"
        )
    raise ValueError(f"weights of {entry.name}: {'; '.join(reasons) or 'the entry has no address to fetch them from'}")


def _check_address(address: str, entry: ZooEntry) -> None:
    """Refuses addresses that would copy a private file, because other people write entries."""
    scheme, separator, _ = address.partition("://")
    if not separator and not entry.is_verified:
        raise ValueError(
            f"its entry names {address!r} on this machine without the whole sha256 of that file, so it is not copied; "
            f"`kdvideo zoo fetch {entry.name} --from FILE` takes a file that you know"
        )
    if scheme == "kdvideo":
        raise ValueError(f"its entry names {address!r}, which is an entry, not where its file is")


def _bring(address: str, target: Path, *, sha256: str, size: int | None, most_bytes: int | None = None) -> None:
    if address.startswith(("http://", "https://")):
        policy = None if most_bytes is None else replace(downloads.POLICY, most_bytes=most_bytes)
        download(address, target, sha256=sha256, size=size, policy=policy)
        _refuse_web_page(target, address)
        return
    try:
        local = PATH_MANAGER.get_local_path(address)
    except Exception as error:  # boto3, huggingface_hub and other handlers have errors of their own
        raise ValueError(f"{address} cannot be fetched: {' '.join(str(error).split())}") from None
    if not Path(local).is_file():
        raise ValueError(f"{address} does not exist")
    _copy(local, target, sha256=sha256, size=size)


def _copy(source: str, target: Path, *, sha256: str, size: int | None) -> None:
    actual_size, actual = Path(source).stat().st_size, file_sha256(Path(source))
    if size not in (None, actual_size) or not actual.startswith(sha256):
        raise ValueError(
            f"{source} has {actual_size} bytes and sha256 {actual[:16]}..., expected {size or 'any number of'} bytes "
            f"and sha256 {sha256[:16] or 'any'}...: it is another file, nothing was kept"
        )
    write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))
    _refuse_web_page(target, source)


def _refuse_web_page(path: Path, source: str) -> None:
    """Refuses a web page. Drives and portals send a login page under the file's name."""
    with path.open("rb") as stream:
        if stream.read(64).lstrip().startswith(b"<"):
            path.unlink()
            raise ValueError(f"{source} is a web page, not a file of weights: nothing was kept")


def _fetch_lock(path: Path) -> Any:
    return locked(
        kdvideo_home() / "locks" / f"{path.name}.lock",
        timeout=_LOCK_SECONDS,
        what=f"another process fetches {path.name}",
    )


class _HttpPathHandler(ReadOnlyHandler):
    """Lets iopath open addresses through kdvideo's own downloader."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["http://", "https://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(fetch_address(path, again=force))


PATH_MANAGER.register_handler(_HttpPathHandler())
