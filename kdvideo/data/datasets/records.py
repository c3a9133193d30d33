"""What all datasets share: the record of a video, finding files, reading lists without leaving the root."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

__all__ = [
    "PROXY_SUFFIX",
    "Subset",
    "VideoFinder",
    "VideoRecord",
    "check_apart",
    "check_inside",
    "check_only_split",
    "check_root",
    "class_names",
    "find_videos",
    "held_out",
    "read_lines",
]

Subset = Literal["train", "test"]
PROXY_SUFFIX = ".mp4"  # a proxy of a.avi is a.avi.mp4: docs/data.md says why
_VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "ogv", "ts", "vob", "webm", "wmv"),
    )
)
_HELD_OUT = 10  # one video in so many


@dataclass(frozen=True)
class VideoRecord:
    """One video of a list.

    Attributes:
        path: the file; a list may name one that is not there, which loading the videos then says.
        name: its line in the list or its path below the root, e.g. "Archery/v_Archery_g08_c01.avi".
        class_id: counted from 0; None in a dataset without labels.
        class_name: what the dataset itself calls the class; None where it does not say.
    """

    path: Path
    name: str
    class_id: int | None
    class_name: str | None = None


class VideoFinder:
    """Finds a list's videos below a root: under their name, as a proxy, or in a copy that spells them in other case.

    Args:
        root: the folder that a list's names are relative to.

    Raises:
        ValueError: no such folder, or nothing in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = check_root(root)

    def find(self, name: str) -> Path:
        """The file of a listed name; where there is none, the path at which it was looked for first."""
        for candidate in (self.root / name, self.root / f"{name}{PROXY_SUFFIX}"):
            if candidate.is_file():
                return candidate
        lowered = name.lower()
        found = self._lowered.get(lowered) or self._lowered.get(f"{lowered}{PROXY_SUFFIX}")
        return self.root / (found or name)

    @cached_property
    def _lowered(self) -> dict[str, str]:
        return {name.lower(): name for name in find_videos(self.root)}


def check_root(root: Path) -> Path:
    """The root, if it is a folder with something in it.

    Raises:
        ValueError: it is not.
    """
    if not root.is_dir():
        raise ValueError(f"DATA.ROOT {root} is not a folder: give the folder that holds the videos")
    if not any(root.iterdir()):
        raise ValueError(f"DATA.ROOT {root} is empty: it must hold videos, most often in a folder a class")
    return root


def check_apart(source: Path, target: Path) -> None:
    """Refuses folders of which one lies in the other: what is written would be read, or written over what is read.

    Raises:
        ValueError: that, or `source` is no folder.
    """
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder")
    outer, inner = source.resolve(), target.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ValueError(f"what is made from {source} cannot go to {target}: neither folder may lie in the other")


def check_only_split(split: int, dataset: str) -> None:
    """Refuses DATA.SPLIT 2 and 3 of a dataset that has one split."""
    if split != 1:
        raise ValueError(f"DATA.SPLIT is {split}, but {dataset} has one split: use 1")


def check_inside(name: str, *, origin: str) -> str:
    """A listed name, if it is a path below the root.

    Raises:
        ValueError: it is absolute, climbs with "..", is empty or no path; `origin` says where it stands.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{origin} names {name!r}; it must be a path below DATA.ROOT, without '..'")
    return name


def find_videos(root: Path) -> list[str]:
    """Paths relative to `root` of all files that end like a video, sorted; hidden files and folders are left out."""
    return sorted(str(PurePosixPath(path.relative_to(root))) for path in _walk(root) if _is_video(path))


def class_names(records: Iterable[VideoRecord]) -> list[str]:
    """Returns what the dataset calls its classes, in the order of their ids.

    Args:
        records: of all lists of the dataset: a class may have videos in one of them only.

    Returns:
        A name for each id from 0 to the highest one. An empty list, if a class has no name or two, if two classes have
        the same name, or if no video belongs to an id: an incomplete list would shift the names behind the gap.
    """
    found: dict[int, set[str | None]] = {}
    for record in records:
        if record.class_id is not None:
            found.setdefault(record.class_id, set()).add(record.class_name)
    names = [name for class_id in sorted(found) for name in found[class_id] if name]
    complete = sorted(found) == list(range(len(names))) and all(len(of_one) == 1 for of_one in found.values())
    return names if complete and len(set(names)) == len(names) else []


def held_out(names: Iterable[str]) -> set[str]:
    """A tenth of the names, at least one of two or more, chosen by their hash: the same in every run and of proxies."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(_source_name(name))).digest())
    count = 0 if len(by_hash) < 2 else -(-len(by_hash) // _HELD_OUT)
    return set(by_hash[:count])


def read_lines(path: Path) -> list[str]:
    """A list file's lines, stripped, without the empty ones.

    Raises:
        ValueError: no such file, or nothing in it.
    """
    if not path.is_file():
        raise ValueError(f"list file {path} does not exist: set DATA.LIST_DIR to the folder of the lists")
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # as file names are read
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"list file {path} names no video")
    return lines


def _source_name(name: str) -> str:
    source = name.removesuffix(PROXY_SUFFIX)
    return source if _is_video(Path(source)) else name


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _VIDEO_SUFFIXES and not path.name.startswith(".")


def _walk(root: Path) -> Iterator[Path]:
    """All files below `root`; links to folders are followed, each folder is visited once."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            subfolders.clear()
            continue
        seen.add(identity)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in files)
