"""Where weights come from: zoo names, paths, URLs; each file checked against its hash before it is read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from iopath.common.file_io import HTTPURLHandler, PathHandler, PathManager

from kdvideo.files import file_sha256
from kdvideo.paths import kdvideo_home, user_zoo, zoo_root
from kdvideo.registry import unknown_name
from kdvideo.zoo.entry import ZooEntry, check_name

__all__ = ["PATH_MANAGER", "PREFIX", "Weights", "find_entry", "list_entries", "read_entry", "resolve_weights"]

PREFIX = "kdvideo://"
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
    """Reads one `entries/*.json`."""
    return ZooEntry.from_json(path.read_text(encoding="utf-8"), origin=str(path))


def list_entries(zoo_dir: Path) -> list[ZooEntry]:
    """All entries of one zoo, by name."""
    return [read_entry(path) for path in sorted((zoo_dir / "entries").glob("*.json"))]


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
    is_name = source.startswith(PREFIX) or not (Path(source).suffix in (".safetensors", ".pt") or "/" in source)
    if is_name:
        entry, directory = find_entry(source, zoo_dir=zoo_dir)
        path = directory / "weights" / entry.file
        return Weights(path, _checked_sha256(path, entry.sha256, source), entry, source)
    is_url = urlparse(source).scheme in ("http", "https")
    path = _download(source) if is_url else Path(source).expanduser()
    named = _HASH_IN_NAME.search(path.name)
    return Weights(path, _checked_sha256(path, named.group(1) if named else "", source), None, source)


def _download(url: str) -> Path:
    try:
        return Path(PATH_MANAGER.get_local_path(url, cache_dir=str(kdvideo_home() / "downloads")))
    except OSError as error:
        raise ValueError(f"weights {url} cannot be downloaded: {error}") from None


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


class _ZooPathHandler(PathHandler):
    """Lets iopath open `kdvideo://NAME` as the entry's checked weights file."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(resolve_weights(path).path)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        return open(self._get_local_path(path), mode, buffering)


PATH_MANAGER = PathManager()
PATH_MANAGER.register_handler(HTTPURLHandler())
PATH_MANAGER.register_handler(_ZooPathHandler())
