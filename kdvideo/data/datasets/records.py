"""What all datasets share: records of videos, finding files, and reading lists without leaving the root."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from kdvideo.data.datasets.walk import find_videos, is_video, look_below

__all__ = [
    "PROXY_SUFFIX",
    "Subset",
    "VideoFinder",
    "VideoRecord",
    "check_apart",
    "check_class_ids",
    "check_inside",
    "check_only_split",
    "check_records",
    "check_root",
    "class_names",
    "find_videos",
    "held_out",
    "read_lines",
]

Subset = Literal["train", "test"]
PROXY_SUFFIX = ".mp4"  # a proxy of a.avi is a.avi.mp4: docs/data.md says why
_MAX_SPARSE_ID = 1000  # ids below it may have gaps, as in a part of a dataset
_MAX_SPARSENESS = 10
_HELD_OUT = 10  # one video in ten
_TYPES = {"path": Path, "name": str, "class_id": int | None, "class_name": str | None}


@dataclass(frozen=True)
class VideoRecord:
    """One video of a list.

    Attributes:
        path: the file. A list may name one that does not exist; loading the videos then says so.
        name: the video's line in the list or its path below the root, e.g. "Archery/v_Archery_g08_c01.avi".
        class_id: counted from 0; None in a dataset without labels.
        class_name: the dataset's own name of the class; None if it gives none.
    """

    path: Path
    name: str
    class_id: int | None
    class_name: str | None = None


def check_records(records: Sequence[VideoRecord], *, dataset: str, subset: Subset) -> Sequence[VideoRecord]:
    """Checks what a registered dataset returns. See `kdvideo.registry.DATASETS`.

    Args:
        records: the videos of a list.
        dataset: the dataset's name.
        subset: which list it is.

    Raises:
        ValueError: there is no video, or a record's field has another type than `VideoRecord` says.
    """
    kind = "training" if subset == "train" else "test"
    if not len(records):
        raise ValueError(f"dataset {dataset!r} gives no {kind} video: look at its root, lists and split")
    for number, record in enumerate(records, start=1):
        if problem := _problem(record):
            raise ValueError(
                f"dataset {dataset!r}, {kind} video {number}: {problem}; give VideoRecord(path=Path(..), "
                "name='a/b.avi', class_id=0, class_name='a')"
            )
    return records


def _problem(record: VideoRecord) -> str:
    if not isinstance(record, VideoRecord):
        return f"a {type(record).__name__} is no VideoRecord"
    for name, allowed in _TYPES.items():
        value = getattr(record, name)
        if not isinstance(value, allowed):
            return f"{name} is {value!r} of type {type(value).__name__}"
    return f"class_id is {record.class_id}, below 0" if record.class_id is not None and record.class_id < 0 else ""


class VideoFinder:
    """Finds a list's videos below a root.

    A video is found under its name, as a proxy, or under another spelling of its name. Copies of a dataset may spell
    names in other case, or write accents as separate marks (NFD, as macOS does) or not (NFC).

    Args:
        root: the folder that a list's names are relative to.

    Raises:
        ValueError: the folder does not exist or is empty.
    """

    def __init__(self, root: Path) -> None:
        self.root = check_root(root)

    def find(self, name: str) -> Path:
        """Returns the file of a listed name.

        If there is none, the result is the path where it should be.

        Raises:
            ValueError: several files differ from the name in case only.
        """
        spellings = (name, f"{name}{PROXY_SUFFIX}")
        for spelling in spellings:
            if os.path.isfile(self.root / spelling):  # Path.is_file would raise for some names
                return self.root / spelling
        for spelling in spellings:
            if found := self._alike.get(_fold(spelling)):
                return self.root / _choose(spelling, found)
        return self.root / name

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        """The readable videos by their folded names."""
        alike: dict[str, list[str]] = {}
        for name in look_below(self.root).videos:
            alike.setdefault(_fold(name), []).append(name)
        return alike


def check_root(root: Path) -> Path:
    """Returns `root` if it is a folder that is not empty.

    Raises:
        ValueError: it is no folder, cannot be read or is empty.
    """
    if not os.path.isdir(root):
        raise ValueError(f"`root` {root} is not a folder: give the folder that holds the videos")
    try:
        empty = not os.listdir(root)
    except OSError as error:
        raise ValueError(f"`root` {root} cannot be read ({error.strerror}): allow it, chmod u+rx") from None
    if empty:
        raise ValueError(f"`root` {root} is empty: it must hold videos, most often in a folder a class")
    return root


def check_apart(source: Path, target: Path) -> None:
    """Refuses folders of which one lies in the other.

    Otherwise what is written would be read, or would overwrite what is read.

    Raises:
        ValueError: one lies in the other, or `source` is no folder.
    """
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder")
    outer, inner = source.resolve(), target.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ValueError(f"what is made from {source} cannot go to {target}: neither folder may lie in the other")


def check_only_split(split: int, dataset: str) -> None:
    """Refuses other splits for a dataset that has one."""
    if split != 1:
        raise ValueError(f"`split` is {split}, but {dataset} has one split: use 1")


def check_inside(name: str, *, origin: str) -> str:
    """Returns `name` if it is a path below the root.

    Raises:
        ValueError: the name is absolute, climbs with "..", is empty or no path; the text names `origin`, its place.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"{origin} names {name!r}; it must be a path below `root`, without '..'")
    return name


def class_names(records: Iterable[VideoRecord]) -> list[str]:
    """Returns the dataset's own class names, ordered by id.

    Args:
        records: those of all lists of the dataset, since a class may have videos in one of them only.

    Returns:
        A name for each id from 0 to the highest one. The list is empty if a class has no name or two, if two classes
        have the same name, or if no video belongs to an id: an incomplete list would shift the names behind the gap.
    """
    found: dict[int, set[str | None]] = {}
    for record in records:
        if record.class_id is not None:
            found.setdefault(record.class_id, set()).add(record.class_name)
    names = [name for class_id in sorted(found) for name in found[class_id] if name]
    complete = sorted(found) == list(range(len(names))) and all(len(of_one) == 1 for of_one in found.values())
    return names if complete and len(set(names)) == len(names) else []


def check_class_ids(class_ids: Iterable[int], *, origin: str) -> None:
    """Refuses ids that do not count from 0.

    A classifier would have an output for each id up to the highest one.

    Raises:
        ValueError: the highest id is 1000 or more, and at least ten times the number of ids.
    """
    found = set(class_ids)
    highest = max(found, default=0)
    if highest >= max(_MAX_SPARSE_ID, _MAX_SPARSENESS * len(found)):
        raise ValueError(
            f"{origin} has {len(found)} class ids, the highest {highest}, which would make a classifier of as many "
            "classes: number the classes from 0, or give them names that are no numbers"
        )


def held_out(names: Iterable[str]) -> set[str]:
    """Chooses a tenth of the names by their hash.

    Of two or more names at least one is chosen. The choice is the same in every run, and the same for proxies.
    """
    by_hash = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(_source_name(name))).digest())
    count = 0 if len(by_hash) < 2 else -(-len(by_hash) // _HELD_OUT)
    return set(by_hash[:count])


def read_lines(path: Path) -> list[str]:
    """Reads a list's lines, stripped, without the empty ones.

    Raises:
        ValueError: the file does not exist or names nothing.
    """
    if not path.is_file():
        raise ValueError(f"list file {path} does not exist: set `list_dir` to the folder of the lists")
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # as in file names
    lines = [line.strip() for line in text.split("\n") if line.strip()]  # str.splitlines splits at other marks, too
    if not lines:
        raise ValueError(f"list file {path} names no video")
    return lines


def _fold(name: str) -> str:
    """Returns the form that all spellings of a name share. It has lower case and composed letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _choose(name: str, alike: Sequence[str]) -> str:
    """Returns the file that a listed name means. It is the one in another Unicode form, or else the only one."""
    composed = unicodedata.normalize("NFC", name)
    same = [found for found in alike if unicodedata.normalize("NFC", found) == composed] or alike
    if len(same) > 1:
        raise ValueError(f"{name} is not there, but {' and '.join(same[:2])} are: write in the list which is meant")
    return same[0]


def _source_name(name: str) -> str:
    source = name.removesuffix(PROXY_SUFFIX)
    return source if is_video(PurePosixPath(source).name) else name
