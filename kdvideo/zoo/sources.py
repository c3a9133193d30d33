"""Where weights come from: zoo names, paths, URLs; each file checked against its hash before it is read."""

import hashlib
import logging
import re
import shutil
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from iopath.common.file_io import PathHandler, PathManager

from kdvideo.files import file_sha256, write_atomic
from kdvideo.paths import kdvideo_home, user_zoo, zoo_root
from kdvideo.registry import unknown_name
from kdvideo.zoo.entry import ZooEntry, check_name

__all__ = ["PATH_MANAGER", "PREFIX", "Weights", "find_entry", "list_entries", "read_entry", "resolve_weights"]

logger = logging.getLogger("kdvideo")

PREFIX = "kdvideo://"
_SUFFIXES = (".safetensors", ".pt")
_TIMEOUT_SECONDS = 30
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.safetensors$")


@dataclass(frozen=True)
class Weights:
    """A weights file on this machine that has passed its check.

    Attributes:
        path: the file.
        sha256: of the file.
        entry: its zoo entry, or None for a bare file.
        source: what was asked for.
    """

    path: Path
    sha256: str
    entry: ZooEntry | None
    source: str


def zoo_dirs(extra: Path | None = None) -> list[Path]:
    """The zoos in the order in which a name is looked up: `extra`, the user's, the one that comes with kdvideo."""
    candidates = [extra, user_zoo(), zoo_root()]
    return [directory for directory in dict.fromkeys(candidates) if directory is not None]


def read_entry(path: Path) -> ZooEntry:
    """Reads one `entries/*.json`.

    Raises:
        ValueError: it is no entry, or one of another name.
    """
    entry = ZooEntry.from_json(path.read_text(encoding="utf-8"), origin=str(path))
    if entry.name != path.stem:
        raise ValueError(f"{path} is the entry of {entry.name!r}: its file must be named {entry.name}.json")
    return entry


def list_entries(zoo_dir: Path) -> list[ZooEntry]:
    """All readable entries of one zoo, by name; others are named in a warning, they must not hide the rest."""
    entries = []
    for path in sorted((zoo_dir / "entries").glob("*.json")):
        try:
            entries.append(read_entry(path))
        except ValueError as error:
            logger.warning("left out: %s", error)
    return entries


def find_entry(name: str, *, zoo_dir: Path | None = None) -> tuple[ZooEntry, Path]:
    """The entry of that name and its zoo.

    Args:
        name: with or without `kdvideo://`.
        zoo_dir: looked into first.

    Raises:
        ValueError: no zoo has it; names the close ones.
    """
    name = check_name(name.removeprefix(PREFIX))
    known: list[str] = []
    for directory in zoo_dirs(zoo_dir):
        path = directory / "entries" / f"{name}.json"
        if path.is_file():
            return read_entry(path), directory
        known += [other.stem for other in (directory / "entries").glob("*.json")]
    raise unknown_name("zoo entry", name, known)


def resolve_weights(source: str, *, zoo_dir: Path | None = None) -> Weights:
    """Finds or fetches a weights file and checks its hash.

    Args:
        source: a zoo name with or without `kdvideo://`, a path, or a URL.
        zoo_dir: a zoo to look into before the user's and the packaged one.

    Raises:
        ValueError: nothing is there, or the file is not what its entry or its name says.
    """
    scheme = urlparse(source).scheme
    if scheme not in ("", "kdvideo", "http", "https"):
        raise ValueError(f"weights {source}: choose a zoo name, a path, or an address with http:// or https://")
    is_file = "/" in source or Path(source).suffix in _SUFFIXES
    if scheme == "kdvideo" or not (scheme or is_file):
        entry, directory = find_entry(source, zoo_dir=zoo_dir)
        path = directory / "weights" / entry.file
        return Weights(path, _checked_sha256(path, entry.sha256 or "", source), entry, source)
    path = _download(source) if scheme else Path(source).expanduser()
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"weights {source}: a file must end in {' or '.join(_SUFFIXES)}")
    named = _HASH_IN_NAME.search(path.name)
    try:
        return Weights(path, _checked_sha256(path, named.group(1) if named else "", source), None, source)
    except ValueError:
        if scheme:
            path.unlink(missing_ok=True)  # a damaged download must not be found again
        raise


def _download(url: str) -> Path:
    """The file behind an address, kept under KDVIDEO_HOME by the whole address's hash."""
    name = Path(urlparse(url).path).name
    path = kdvideo_home() / "downloads" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"
    if not path.exists():
        try:
            write_atomic(path, partial(_fetch, url))
        except (OSError, HTTPException, ValueError) as error:
            raise ValueError(f"weights {url} cannot be downloaded: {error}") from None
    return path


def _fetch(url: str, path: Path) -> None:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, path.open("wb") as stream:
        shutil.copyfileobj(response, stream)


def _checked_sha256(path: Path, expected: str, source: str) -> str:
    if not path.is_file():
        raise ValueError(f"weights {source}: {path} does not exist")
    actual = file_sha256(path)
    if not actual.startswith(expected):
        raise ValueError(
            f"weights {source}: {path} has sha256 {actual[:16]}..., expected {expected[:16]}...; the file is damaged "
            "or not the published one: nothing was loaded, fetch or publish it again"
        )
    return actual


class _WeightsPathHandler(PathHandler):
    """Lets iopath open `kdvideo://NAME` and addresses as files on this machine that have passed their check."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX, "http://", "https://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(resolve_weights(path).path)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        if "r" not in mode or "+" in mode:
            raise ValueError(f"{path} can be read only, not opened with mode {mode!r}")
        return open(self._get_local_path(path), mode, buffering)


PATH_MANAGER = PathManager()
PATH_MANAGER.register_handler(_WeightsPathHandler())
