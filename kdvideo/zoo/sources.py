"""Finding weights by zoo name, path or URL; each file is checked against its hash before it is read."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torchvision.models import get_weight

from kdvideo.files import file_sha256
from kdvideo.registry import unknown_name
from kdvideo.zoo.entry import WEIGHTS_SUFFIXES, Teacher, ZooEntry, check_name
from kdvideo.zoo.fetch import download_path, expected_sha256, fetch_address, fetch_entry, take_file
from kdvideo.zoo.folder import Zoo, ZooLike, accept_zoo_dir, as_zoo
from kdvideo.zoo.hub import fetch_repository
from kdvideo.zoo.licences import UNSTATED, teacher_licence
from kdvideo.zoo.local_files import check_suffix, file_of_folder, require_file
from kdvideo.zoo.model_folder import card_licence, hash_settings, hash_weights
from kdvideo.zoo.names_of_sources import (
    Address,
    EntryName,
    LocalFile,
    LocalFolder,
    Repository,
    TimmModel,
    parse_source,
)
from kdvideo.zoo.remote import PATH_MANAGER, ReadOnlyHandler
from kdvideo.zoo.timm_file import find_timm

__all__ = [
    "PREFIX",
    "FoundEntry",
    "Weights",
    "bring_weights",
    "entry_at",
    "fetch_weights",
    "find_entry",
    "resolve_weights",
    "torchvision_address",
    "zoos",
]

PREFIX = "kdvideo://"
_TORCHVISION_ENUM = re.compile(r"\w+_Weights\.\w+")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.safetensors$")


@dataclass(frozen=True)
class Weights:
    """A weights file on this machine that has passed its check, or a folder of the transformers library.

    Attributes:
        path: the file or folder.
        sha256: its hash. Of a folder it is that of its weights.
        entry: its zoo entry. None for a bare file.
        source: the requested name, path or URL.
        pinned: a name that means exactly these weights, as hf:OWNER/REPO@COMMIT. "" if nobody gives one.
        stated_licence: the licence that comes with the weights themselves, as a repository's README.md. "" if none.
    """

    path: Path
    sha256: str
    entry: ZooEntry | None
    source: str
    pinned: str = ""
    stated_licence: str = ""

    @property
    def name(self) -> str:
        """Returns what others call these weights: the entry's name, the pinned one, or the requested one."""
        return self.entry.name if self.entry else self.pinned or self.source

    @property
    def licence(self) -> str:
        """Returns the licence that the entry says, or that comes with the weights. "" if nothing says it."""
        return self.entry.licence if self.entry else self.stated_licence

    @property
    def answers_sha256(self) -> str:
        """Returns a hash of all that decides what the network answers. It is `sha256` where the file itself says it.

        The config and the preprocessor of a folder lie beside its weights. A timm model is named, not stored.
        """
        if self.path.is_dir():
            beside = hash_settings(self.path)
        elif isinstance(named := parse_source(self.source), TimmModel):
            beside = named.model
        else:
            return self.sha256
        return hashlib.sha256(f"{self.sha256} {beside}".encode()).hexdigest()

    @property
    def as_teacher(self) -> Teacher:
        """Returns what a student's entry says of these weights.

        The licence of these weights comes first, then that of their own teacher. So it reaches students of students.
        If none is stated, there is no `licence`.
        """
        inherited = map(teacher_licence, self.entry.teachers) if self.entry else ()
        own = "" if self.licence == UNSTATED else self.licence
        stated = [own] if own else []
        stated += [f"its own teacher: {above}" for above in dict.fromkeys(inherited) if above and above != own]
        licence = "; ".join(stated)
        found: Teacher = {"name": self.name, "sha256": self.sha256}
        return {**found, "licence": licence} if licence else found


class FoundEntry(NamedTuple):
    """An entry, and the zoo that has it."""

    entry: ZooEntry
    zoo: Zoo

    @property
    def path(self) -> Path:
        """Where the weights are or will be.

        They lie in the zoo, or else among the downloads.
        """
        published = self.zoo.weights_of(self.entry)
        return published if published.exists() else download_path(self.entry)


def zoos(first: ZooLike | None = None) -> list[Zoo]:
    """Lists the zoos in which names are looked up. They are `first`, the user's, and the packaged one."""
    candidates = [as_zoo(first), Zoo.user(), Zoo.packaged()]
    return [zoo for zoo in dict.fromkeys(candidates) if zoo is not None]


@accept_zoo_dir
def find_entry(name: str, *, zoo: ZooLike | None = None) -> FoundEntry:
    """Finds the entry with that name, and its zoo.

    Args:
        name: the name, with or without `kdvideo://`.
        zoo: a zoo to look into first.

    Raises:
        ValueError: no zoo has it. Says which names are close.
    """
    name = check_name(name.removeprefix(PREFIX))
    candidates = zoos(zoo)
    for candidate in candidates:
        if candidate.entry_path(name).is_file() and (entry := candidate.entry(name)) is not None:
            return FoundEntry(entry, candidate)
    if Path(name).is_dir():
        raise ValueError(f"{name!r} is no zoo entry, but a folder here: write ./{name} if you mean that")
    known = [path.stem for candidate in candidates for path in candidate.entry_paths()]
    raise unknown_name("zoo entry", name, known, otherwise="`kdvideo zoo list` names all")


def bring_weights(found: FoundEntry, *, source: str | None = None) -> Weights:
    """Checks an entry's weights. Fetches them if they are not on this machine.

    Args:
        found: the entry and its zoo.
        source: the requested name, path or URL. Defaults to the entry's name.

    Raises:
        ValueError: the file cannot be fetched, or is not what its entry says.
    """
    entry, source = found.entry, source or found.entry.name
    if not found.path.exists():
        return Weights(*fetch_entry(entry), entry, source)
    return Weights(found.path, _checked_sha256(found.path, expected_sha256(entry), source), entry, source)


def fetch_weights(found: FoundEntry, *, file: Path | None = None) -> Weights:
    """Fetches an entry's weights. Unlike `bring_weights` it replaces a damaged download.

    Args:
        found: the entry and its zoo.
        file: a file that was got by hand, to take in place of a download.

    Raises:
        ValueError: the file cannot be fetched, or is not what its entry says.
    """
    if file is None and found.zoo.weights_of(found.entry).exists():
        return bring_weights(found)
    fetched = fetch_entry(found.entry) if file is None else take_file(found.entry, file)
    return Weights(*fetched, found.entry, found.entry.name)


@accept_zoo_dir
def resolve_weights(source: str, *, zoo: ZooLike | None = None) -> Weights:
    """Finds or fetches a weights file, and checks its hash.

    Args:
        source: a zoo name with or without `kdvideo://`, a path, a URL, a repository (hf:OWNER/REPO), a run's folder, a
            folder of the transformers library, or one of torchvision's enums, e.g. "R3D_18_Weights.KINETICS400_V1". An
            address that a packaged entry names means that entry.
        zoo: a zoo to look into before the user's and the packaged one.

    Raises:
        ValueError: nothing is there, or the file is not what its entry or its name says.
    """
    source = torchvision_address(source)
    match parse_source(source):
        case EntryName(name):
            return bring_weights(find_entry(name, zoo=zoo), source=source)
        case Repository() as repository:
            path, commit = fetch_repository(repository)
            return _folder_weights(path, source, pinned=str(repository._replace(revision=commit)))
        case LocalFolder(path):
            return _folder_weights(path, source)
        case TimmModel() as model:
            return _timm_weights(model, source)
        case LocalFile(path):
            return _file_weights(path, source)
        case Address(url):
            known = entry_at(url)
            return bring_weights(known, source=source) if known else _fetched_weights(url, source)


def _folder_weights(folder: Path, source: str, *, pinned: str = "") -> Weights:
    if (file := file_of_folder(folder, source)) is not None:
        return _file_weights(file, source)
    try:
        sha256 = hash_weights(folder)
    except ValueError as error:
        raise ValueError(f"weights {source}: {error}") from None
    return Weights(folder, sha256, None, source, pinned, card_licence(folder))


def _timm_weights(model: TimmModel, source: str) -> Weights:
    try:
        path, licence, pinned = find_timm(model)
    except ValueError as error:
        raise ValueError(f"weights {source}: {error}") from None
    return replace(_file_weights(path, source), pinned=pinned, stated_licence=licence)


def _fetched_weights(url: str, source: str) -> Weights:
    path = fetch_address(url)
    try:
        return _file_weights(path, source)
    except ValueError:
        if path.name.endswith(WEIGHTS_SUFFIXES):
            path.unlink(missing_ok=True)  # a damaged download must not be found again
        raise


def _file_weights(path: Path, source: str) -> Weights:
    check_suffix(path.name, source)
    named = _HASH_IN_NAME.search(path.name)
    return Weights(path, _checked_sha256(path, named.group(1) if named else "", source), None, source)


def torchvision_address(source: str) -> str:
    """Returns the address of one of torchvision's enums. Other sources stay as they are.

    Raises:
        ValueError: it looks like an enum, but torchvision has none of that name.
    """
    if not _TORCHVISION_ENUM.fullmatch(source):
        return source
    try:
        return get_weight(source).url
    except (ValueError, KeyError) as error:
        raise ValueError(f"weights {source}: torchvision has no such weights ({error})") from None


def entry_at(address: str) -> FoundEntry | None:
    """Finds the packaged entry of an address. Other entries do not count: they could name other people's addresses."""
    packaged = Zoo.packaged()
    return next((FoundEntry(entry, packaged) for entry in packaged.entries() if address in entry.urls), None)


def _checked_sha256(path: Path, expected: str, source: str) -> str:
    require_file(path, source)
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
