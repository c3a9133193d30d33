"""A zoo's folder. Only this module knows where each file lies in it."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Self, TypeVar
from warnings import warn

from kdvideo.files import locked, remove_temporaries, write_text
from kdvideo.foreign import read_text
from kdvideo.paths import expand_user, user_zoo, zoo_root
from kdvideo.zoo.entry import ZooEntry, check_file, check_name
from kdvideo.zoo.render import render_catalogue

__all__ = ["Zoo", "ZooLike", "accept_zoo_dir", "as_zoo", "gallery_file", "read_entry"]

logger = logging.getLogger("kdvideo")

_LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class Zoo:
    """A folder of published models.

    Attributes:
        path: holds `entries/NAME.json`, `weights/FILE`, the table `MODEL_ZOO.md` and the lock of those who write.
    """

    path: Path

    @classmethod
    def user(cls) -> Self:
        """Returns the user's own zoo, which need not exist."""
        return cls(user_zoo())

    @classmethod
    def packaged(cls) -> Self:
        """Returns the zoo that comes with kdvideo."""
        return cls(zoo_root())

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_packaged(self) -> bool:
        """Whether it comes with kdvideo."""
        return self.path == zoo_root()

    def check_exists(self) -> None:
        """Refuses a folder that is no zoo.

        Raises:
            ValueError: it has no folder of entries.
        """
        if not self._entries.is_dir():
            raise ValueError(f"{self} is no zoo: it has no folder entries/")

    def entry_path(self, name: str) -> Path:
        """Returns the path of the entry with that name.

        Raises:
            ValueError: it is no zoo name and may lead elsewhere.
        """
        return self._entries / f"{check_name(name)}.json"

    def entry_paths(self) -> list[Path]:
        """Returns the names of all files named like an entry, sorted. Some of them may not be entries."""
        return sorted(self._entries.glob("*.json"))

    def entry(self, name: str) -> ZooEntry | None:
        """Reads the entry with that name. Returns None if there is nothing.

        Raises:
            ValueError: the name is no zoo name, or what is there is no entry.
        """
        path = self.entry_path(name)
        return read_entry(path) if path.exists() else None

    def entries(self) -> list[ZooEntry]:
        """Reads all entries, sorted by name. Warns of unreadable ones, which must not hide the rest."""
        entries = []
        for path in self.entry_paths():
            try:
                entries.append(read_entry(path))
            except ValueError as error:
                logger.warning("left out: %s", error)
        return entries

    def weights_path(self, file: str) -> Path:
        """Returns the path of the weights file with that name.

        Raises:
            ValueError: the name is not plain and may lead elsewhere.
        """
        return self._weights / check_file(file, origin=str(self))

    def weights_paths(self) -> list[Path]:
        """Returns the files among the weights, sorted, without temporary ones."""
        return sorted(self._weights.glob("[!.]*"))

    def weights_of(self, entry: ZooEntry) -> Path:
        """Returns the path of the entry's weights in this zoo. Weights that are fetched lie among the downloads."""
        return self.weights_path(entry.file)

    def gallery_of(self, entry: ZooEntry) -> Path:
        """Returns the path of the model's gallery. Not every model has one."""
        return gallery_file(self.weights_of(entry))

    def record_path(self, name: str) -> Path:
        """Returns where a first download's hash is recorded."""
        return self.path / "recorded" / f"{check_name(name)}.json"

    @property
    def table_path(self) -> Path:
        """The file of the table `MODEL_ZOO.md`.

        A checkout has it at its top, beside the zoo.
        """
        folder = self.path.resolve()
        is_checkout = folder == zoo_root() and (folder.parent / "setup.py").exists()
        return (folder.parent if is_checkout else folder) / "MODEL_ZOO.md"

    def lock(self) -> AbstractContextManager[None]:
        """Returns the lock of everybody who changes the zoo. A process may take it twice."""
        what = f"another process publishes into or removes from {self}"
        return locked(self.path / ".lock", timeout=_LOCK_SECONDS, what=what)

    def write(self, entry: ZooEntry) -> Path:
        """Writes an entry, whole or not at all. Returns its path."""
        path = self.entry_path(entry.name)
        write_text(path, entry.to_json())
        return path

    def render(self) -> Path:
        """Writes the zoo's table under its lock. Returns its path.

        Raises:
            ValueError: the folder is no zoo.
        """
        self.check_exists()
        with self.lock():
            write_text(self.table_path, render_catalogue(self.entries()))
        return self.table_path

    def remove_temporaries(self) -> None:
        """Removes the temporary files of killed processes. The caller holds the lock."""
        for folder in (self.path, self._entries, self._weights):
            remove_temporaries(folder)

    @property
    def _entries(self) -> Path:
        return self.path / "entries"

    @property
    def _weights(self) -> Path:
        return self.path / "weights"


ZooLike = Zoo | str | Path  # the forms in which callers may give a zoo


def as_zoo(zoo: ZooLike | None) -> Zoo | None:
    """Returns the zoo in a folder. A zoo and None stay as they are."""
    return zoo if zoo is None or isinstance(zoo, Zoo) else Zoo(expand_user(zoo))


def read_entry(path: Path) -> ZooEntry:
    """Reads one `entries/*.json`.

    Raises:
        ValueError: it cannot be read, is no entry, or has another name than its file.
    """
    entry = ZooEntry.from_json(read_text(path), origin=str(path))
    if entry.name != path.stem:
        raise ValueError(f"{path} is the entry of {entry.name!r}: its file must be named {entry.name}.json")
    return entry


def gallery_file(weights: Path) -> Path:
    """Returns the path of a model's gallery, which need not exist. It is beside the weights.

    A gallery holds features of the training videos. Shipped ones are safetensors, which every installation reads. A
    user's own may be a Parquet table.
    """
    shipped = weights.with_suffix(".gallery.safetensors")
    return shipped if shipped.is_file() else weights.with_suffix(".gallery.parquet")


_Function = TypeVar("_Function", bound=Callable[..., Any])


def accept_zoo_dir(function: _Function) -> _Function:
    """Lets a function take `zoo` under its former name `zoo_dir`. Each use warns."""

    @wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        if "zoo_dir" in kwargs:
            message = f"{function.__name__}(zoo_dir=) is zoo= now; the former name goes with the next version"
            warn(message, FutureWarning, stacklevel=2)
            kwargs["zoo"] = as_zoo(kwargs.pop("zoo_dir"))
        return function(*args, **kwargs)

    return renamed  # type: ignore[return-value]
