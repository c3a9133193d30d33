"""Where weights come from: zoo names, paths, URLs; each file checked against its hash before it is read."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision.models import get_weight

from kdvideo.files import file_sha256
from kdvideo.foreign import read_text
from kdvideo.paths import expand_user, user_zoo, zoo_root
from kdvideo.registry import unknown_name
from kdvideo.zoo.entry import WEIGHTS_SUFFIXES, ZooEntry, check_name
from kdvideo.zoo.fetch import download_path, expected_sha256, fetch_address, fetch_entry
from kdvideo.zoo.remote import PATH_MANAGER, ReadOnlyHandler

__all__ = ["PREFIX", "Weights", "entry_file", "find_entry", "list_entries", "read_entry", "resolve_weights"]

logger = logging.getLogger("kdvideo")

PREFIX = "kdvideo://"
_TORCHVISION_ENUM = re.compile(r"\w+_Weights\.\w+")
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
        ValueError: it cannot be read, is no entry, or one of another name.
    """
    entry = ZooEntry.from_json(read_text(path), origin=str(path))
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
    raise unknown_name("zoo entry", name, known, otherwise="`kdvideo zoo list` names all")


def resolve_weights(source: str, *, zoo_dir: Path | None = None) -> Weights:
    """Finds or fetches a weights file and checks its hash.

    Args:
        source: a zoo name with or without `kdvideo://`, a path, a URL, or one of torchvision's enums, e.g.
            "R3D_18_Weights.KINETICS400_V1". An address that an entry which comes with kdvideo names is that entry.
        zoo_dir: a zoo to look into before the user's and the packaged one.

    Raises:
        ValueError: nothing is there, or the file is not what its entry or its name says.
    """
    if _TORCHVISION_ENUM.fullmatch(source):
        source = _torchvision_address(source)
    scheme, separator, _ = source.partition("://")
    if separator and scheme != "kdvideo" and (known := _entry_at(source)) is not None:
        return resolve_weights(known.name, zoo_dir=zoo_root())
    is_file = not separator and ("/" in source or source.endswith(WEIGHTS_SUFFIXES))
    if scheme == "kdvideo" or not (separator or is_file):
        entry, directory = find_entry(source, zoo_dir=zoo_dir)
        path = entry_file(entry, directory)
        if not path.exists():
            path = fetch_entry(entry)
        return Weights(path, _checked_sha256(path, expected_sha256(entry), source), entry, source)
    path = fetch_address(source) if separator else expand_user(source)
    if not path.name.endswith(WEIGHTS_SUFFIXES):
        raise ValueError(f"weights {source}: a file must end in {' or '.join(WEIGHTS_SUFFIXES)}")
    named = _HASH_IN_NAME.search(path.name)
    try:
        return Weights(path, _checked_sha256(path, named.group(1) if named else "", source), None, source)
    except ValueError:
        if separator:
            path.unlink(missing_ok=True)  # a damaged download must not be found again
        raise


def _torchvision_address(enum: str) -> str:
    try:
        return get_weight(enum).url
    except (ValueError, KeyError) as error:
        raise ValueError(f"weights {enum}: torchvision has no such weights ({error})") from None


def _entry_at(address: str) -> ZooEntry | None:
    """Finds the entry of an address among those that ship: anybody's entry may name somebody else's address."""
    return next((entry for entry in list_entries(zoo_root()) if address in entry.urls), None)


def entry_file(entry: ZooEntry, zoo_dir: Path) -> Path:
    """Where an entry's weights are or will be: in its zoo, or else where they are fetched to."""
    published = zoo_dir / "weights" / entry.file
    return published if published.exists() else download_path(entry)


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


class _ZooPathHandler(ReadOnlyHandler):
    """Lets iopath open `kdvideo://NAME` as a file on this machine that has passed its check."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(resolve_weights(path).path)


PATH_MANAGER.register_handler(_ZooPathHandler())
