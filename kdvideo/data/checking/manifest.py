"""Manifests: what is known about the files of a dataset, one JSON line per video.

A line is appended as soon as its video has been looked at, so a killed check goes on where it was. Lines that cannot be
read, such as a last line that a kill has cut off, are ignored.
"""

import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO, TypeVar

import simplejson

from kdvideo.data.readers.probe import VideoProbe
from kdvideo.files import write_text
from kdvideo.paths import home_advice

__all__ = [
    "FORMAT",
    "MANIFEST_NAME",
    "ManifestEntry",
    "append_entry",
    "is_current",
    "open_journal",
    "open_memory",
    "part_files",
    "part_of",
    "part_path",
    "read_manifest",
    "read_memory",
    "summarise",
    "write_manifest",
]

MANIFEST_NAME = "kdvideo-manifest.jsonl"
# Raise it when probing the same file would give another result. `kdvideo.data.readers.revision` says which lines of
# format 1 still hold; lines of any other format are not used.
FORMAT = 2
_KNOWN_FORMATS = (1, FORMAT)
logger = logging.getLogger("kdvideo")
_Name = TypeVar("_Name", str, Path)


@dataclass(frozen=True)
class ManifestEntry:
    """What is known about one video.

    Attributes:
        path: relative to the dataset's root, with "/".
        probe: what the file is; `probe.problem` says why it cannot be used.
        file_bytes: the file's size when it was looked at.
        mtime_ns: the file's modification time then.
        source: for a proxy, what it was made from and how.
        format: the line's format; one other than `FORMAT` was written by a kdvideo that read some files differently.
        time_limit: seconds that the file was given; 0 if the line does not say.
    """

    path: str
    probe: VideoProbe
    file_bytes: int
    mtime_ns: int
    source: Mapping[str, Any] | None = None
    format: int = FORMAT
    time_limit: float = 0.0


def is_current(entry: ManifestEntry, root: Path) -> bool:
    """Returns whether the file exists and is unchanged since then."""
    try:
        status = (root / entry.path).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (entry.file_bytes, entry.mtime_ns)


def read_manifest(path: Path) -> dict[str, ManifestEntry]:
    """Returns the entries of a manifest and its parts, by path. A later entry replaces an earlier one."""
    entries: dict[str, ManifestEntry] = {}
    for file in (*part_files(path), path):
        if file.is_file():
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                entry = _parse(line)
                if entry is not None:
                    entries[entry.path] = entry
    return entries


def write_manifest(path: Path, entries: Mapping[str, ManifestEntry]) -> None:
    """Writes one sorted manifest, which replaces `path` and its parts."""
    parts = part_files(path)
    write_text(path, "".join(_format(entries[name]) for name in sorted(entries)))
    for part in parts:
        part.unlink()


@contextmanager
def open_journal(path: Path) -> Iterator[TextIO]:
    """Opens a manifest for appending. Ends a last line that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as raw:
        if raw.tell() > 0:
            raw.seek(-1, 2)
            if raw.read(1) != b"\n":
                raw.write(b"\n")
    with path.open("a", encoding="utf-8") as stream:
        yield stream


def read_memory(path: Path) -> dict[str, ManifestEntry]:
    """Reads what earlier runs have noted. An unreadable file of another user counts as empty."""
    try:
        return read_manifest(path)
    except OSError:
        return {}


@contextmanager
def open_memory(path: Path) -> Iterator[TextIO]:
    """Opens a journal that only saves time. If it cannot be written, warns and keeps nothing."""
    with ExitStack() as stack:
        stream: TextIO = io.StringIO()
        try:
            stream = stack.enter_context(open_journal(path))
        except OSError as error:
            _tell_once(home_advice(path) or f"{path} ({error.strerror or error})")
        yield stream


@cache
def _tell_once(why: str) -> None:
    logger.warning("what is found out about the videos cannot be kept for the next run: %s", why)


def append_entry(journal: TextIO, entry: ManifestEntry) -> None:
    """Appends one line, at once and in one piece. Several processes may share a journal."""
    journal.write(_format(entry))
    journal.flush()


def part_path(path: Path, part: tuple[int, int] | None) -> Path:
    """Returns where part (i, n) of a manifest is written.

    That is `NAME.part-i-of-n.jsonl`, or `path` itself for None.
    """
    return path if part is None else path.with_name(f"{path.stem}.part-{part[0]}-of-{part[1]}{path.suffix}")


def part_of(names: Sequence[_Name], part: tuple[int, int] | None) -> list[_Name]:
    """Returns the names of part (i, n), or all names for None.

    A part has every n-th name from the i-th on, i counted from 1.
    """
    return list(names) if part is None else list(names[part[0] - 1 :: part[1]])


def summarise(entries: Iterable[ManifestEntry]) -> dict[str, Any]:
    """Counts the entries. Lists by path each problem and what damaged and cut-off files lack."""
    entries = list(entries)
    good = [entry.probe for entry in entries if entry.probe.problem is None]
    return {
        "videos": len(entries),
        "usable": len(good),
        "frames": sum(probe.frames for probe in good),
        "hours": round(sum(probe.frames / probe.fps for probe in good if probe.fps > 0) / 3600, 3),
        "shortest": min((probe.frames for probe in good), default=0),
        "bytes": sum(max(0, entry.file_bytes) for entry in entries),
        "codecs": dict(Counter(probe.codec for probe in good).most_common()),
        "readers": dict(Counter(probe.reader for probe in good).most_common()),
        "skipped": {entry.path: entry.probe.skipped for entry in entries if entry.probe.skipped},
        "cut_off": {entry.path: entry.probe.missing for entry in entries if entry.probe.missing},
        "problems": {entry.path: entry.probe.problem for entry in entries if entry.probe.problem is not None},
    }


def part_files(path: Path) -> list[Path]:
    """Returns the existing parts of a manifest, or of another file that is written in parts."""
    return sorted(path.parent.glob(f"{path.stem}.part-*-of-*{path.suffix}"))


def _format(entry: ManifestEntry) -> str:
    own = {key: getattr(entry, key) for key in ("file_bytes", "mtime_ns", "time_limit")}
    values = {"path": entry.path, **asdict(entry.probe), **own}
    if entry.source is not None:
        values["source"] = dict(entry.source)
    return simplejson.dumps({**values, "format": entry.format}) + "\n"


def _parse(line: str) -> ManifestEntry | None:
    try:
        values = simplejson.loads(line)
        if values["format"] not in _KNOWN_FORMATS:
            return None
        own = {key: values.pop(key) for key in ("path", "file_bytes", "mtime_ns", "format")}
        own["time_limit"] = float(values.pop("time_limit", 0))
        return ManifestEntry(**own, source=values.pop("source", None), probe=VideoProbe(**values))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
