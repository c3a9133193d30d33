"""Finds out which videos of a dataset can be used, and how many frames each gives."""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import simplejson
from tqdm import tqdm

from kdvideo.data.checking.isolation import Failure, run_isolated
from kdvideo.data.checking.look import Look, look_at
from kdvideo.data.checking.manifest import (
    FORMAT,
    MANIFEST_NAME,
    ManifestEntry,
    append_entry,
    is_current,
    open_journal,
    open_memory,
    part_of,
    part_path,
    read_manifest,
    read_memory,
    summarise,
    write_manifest,
)
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import describe_error, out_of_time, system_error
from kdvideo.data.readers.probe import VideoProbe
from kdvideo.data.readers.revision import still_holds
from kdvideo.data.videos import VideoList
from kdvideo.files import write_text
from kdvideo.paths import kdvideo_home

__all__ = ["check_dataset", "check_listed", "describe_summary", "usable_videos"]

logger = logging.getLogger("kdvideo")
_GRACE = 10.0  # seconds in which a reader can notice the time limit itself and say more about the file
_NAMED = 20  # skipped videos that the log names one by one


def check_dataset(
    root: Path,
    names: Sequence[str],
    *,
    manifest: Path | None = None,
    part: tuple[int, int] | None = None,
    num_workers: int,
    time_limit: float = TIME_LIMIT,
) -> dict[str, ManifestEntry]:
    """Looks at every video once and writes a manifest.

    A summary is written beside it.

    Videos that a manifest describes as they are now are not looked at again. So a killed check goes on where it was,
    and a check of the whole dataset after its parts only joins their manifests.

    Args:
        root: the dataset's folder.
        names: paths relative to it.
        manifest: where to write. Defaults to `root/kdvideo-manifest.jsonl`.
        part: (i, n): only every n-th video from the i-th on, into a manifest of its own.
        num_workers: how many processes look at videos.
        time_limit: seconds after which a video is given up.

    Returns:
        The entry of each name.
    """
    manifest = manifest or root / MANIFEST_NAME
    known = read_manifest(manifest)
    chosen = part_of(sorted(set(names)), part)
    journal = part_path(manifest, part)
    checked = _look_at(
        root, chosen, known=[known], journal=open_journal(journal), num_workers=num_workers, time_limit=time_limit
    )
    checked = {name: replace(one, time_limit=max(one.time_limit, time_limit)) for name, one in checked.items()}
    if part is None:
        there = {name: entry for name, entry in checked.items() if entry.file_bytes >= 0}
        write_manifest(manifest, {**known, **there})
    summary = simplejson.dumps(summarise(checked.values()), indent=2) + "\n"
    write_text(journal.with_name(f"{journal.stem}.summary.json"), summary)
    return {name: checked[name] for name in chosen}


def usable_videos(
    records: Sequence[VideoRecord],
    root: Path,
    *,
    manifest: Path | None = None,
    max_bad_fraction: float,
    num_workers: int,
    label: str = "videos",
    time_limit: float = TIME_LIMIT,
) -> VideoList:
    """Returns the videos that give frames.

    The others are counted and named in the log. Videos that neither the manifest nor an earlier run knows are looked at
    now. What is found is remembered in the user's directory, since datasets often lie where one cannot write.

    Args:
        records: the videos of a dataset.
        root: the dataset's folder.
        manifest: as `kdvideo data check` writes it. Defaults to `root/kdvideo-manifest.jsonl`, if it exists.
        max_bad_fraction: the share of videos, in [0, 1], that may be left out.
        num_workers: how many processes look at videos.
        label: what the videos are called in messages.
        time_limit: seconds per video, now and whenever the list is read. If a video was given more when it was looked
            at, that limit holds for the list.

    Raises:
        ValueError: a given manifest that is not there, or too many videos that cannot be used.
    """
    _require_manifest(manifest)
    memory = _memory_of(root)
    names = [record.path.relative_to(root).as_posix() for record in records]
    known = [read_manifest(manifest or root / MANIFEST_NAME), read_memory(memory)]
    checked = _look_at(
        root, names, known=known, journal=open_memory(memory), num_workers=num_workers, time_limit=time_limit
    )
    probes = [checked[name].probe for name in names]
    _report_bad(records, probes, max_bad_fraction=max_bad_fraction, label=label)
    _report_cut_off(records, probes, label=label)
    usable = [(record, found) for record, found in zip(records, probes, strict=True) if found.problem is None]
    return VideoList(
        [record for record, _ in usable],
        [found.frames for _, found in usable],
        [found.reader for _, found in usable],
        [found.revision for _, found in usable],
        max([time_limit, *(checked[name].time_limit for name in names if checked[name].probe.problem is None)]),
        [(found.height, found.width) for _, found in usable],
    )


def check_listed(
    records: Sequence[VideoRecord], *, manifest: Path | None = None, max_bad_fraction: float, label: str = "videos"
) -> None:
    """Refuses a list of which too many files are not there. No file is opened.

    The arguments are those of `usable_videos`.

    Raises:
        ValueError: says the same as `usable_videos`.
    """
    _require_manifest(manifest)
    probes = [VideoProbe(problem=_absence(record.path)) for record in records]
    _report_bad(records, probes, max_bad_fraction=max_bad_fraction, label=label)


def describe_summary(summary: Mapping[str, Any]) -> str:
    """Returns a summary for people to read.

    It has one line per fact, per damaged or cut-off file and per problem.
    """
    named = ("skipped", "cut_off", "problems")
    facts = [f"{name:9} {_describe(value)}" for name, value in summary.items() if name not in named]
    skipped, cut_off, problems = (summary[name] for name in named)
    damaged = [f"  {path}: undecodable packets, left out: {count}" for path, count in skipped.items()]
    short = [f"  {path}: {_say_missing(seconds)}" for path, seconds in cut_off.items()]
    reasons = [f"  {path}: {why}" for path, why in problems.items()]
    counts = (f"damaged   {len(skipped)}", f"cut off   {len(cut_off)}", f"problems  {len(problems)}")
    return "\n".join([*facts, counts[0], *damaged, counts[1], *short, counts[2], *reasons])


def _look_at(
    root: Path,
    names: Sequence[str],
    *,
    known: Sequence[Mapping[str, ManifestEntry]],
    journal: AbstractContextManager[TextIO],
    num_workers: int,
    time_limit: float,
) -> dict[str, ManifestEntry]:
    """Returns the entry of each name.

    It is the first known one that still holds, or else what looking at the video finds.
    """
    checked: dict[str, ManifestEntry] = {}
    former: dict[str, ManifestEntry] = {}  # written by a kdvideo that read some files differently
    for name in names:
        for entries in known:
            if name in entries and _holds(entries[name], root, time_limit=time_limit):
                (checked if entries[name].format == FORMAT else former).setdefault(name, entries[name])
    unknown = [(name, former.get(name)) for name in dict.fromkeys(names) if name not in checked]
    if not unknown:
        return checked
    look = partial(_look_at_one, root, time_limit=time_limit)
    results = run_isolated(look, unknown, num_workers=num_workers, time_limit=time_limit + _GRACE)
    with journal as stream:
        for (name, _), result in tqdm(results, total=len(unknown), desc="checking videos", unit="video", disable=None):
            if isinstance(result, Failure):
                reason = out_of_time(time_limit) if result.timed_out else result.reason
                lasting = system_error(root / name) is None
                entry = _entry(root, name, Look(VideoProbe(problem=reason), lasting), time_limit=time_limit)
            else:
                entry = result
            if entry.file_bytes >= 0:
                append_entry(stream, entry)
            checked[name] = entry
    return checked


def _holds(entry: ManifestEntry, root: Path, *, time_limit: float) -> bool:
    """Returns whether an entry still holds.

    The file must be unchanged and readable, and a problem must not go away within this time limit.
    """
    enough = entry.probe.problem is None or entry.time_limit >= time_limit
    return enough and is_current(entry, root) and os.access(root / entry.path, os.R_OK)


def _look_at_one(root: Path, item: tuple[str, ManifestEntry | None], *, time_limit: float) -> ManifestEntry:
    name, former = item
    if former is not None and still_holds(root / name, frames=former.probe.frames, time_limit=time_limit):
        return replace(former, format=FORMAT)
    return _entry(root, name, look_at(root / name, time_limit=time_limit), time_limit=time_limit)


def _entry(root: Path, name: str, look: Look, *, time_limit: float) -> ManifestEntry:
    """Returns what was found, with the file's size and modification time.

    A size of -1 marks a file that the system did not give. The file may be readable the next time without having
    changed, so this is not remembered.
    """
    num_bytes, changed = -1, -1
    if look.lasting:
        with suppress(OSError):
            status = (root / name).stat()
            num_bytes, changed = status.st_size, status.st_mtime_ns
    return ManifestEntry(name, look.found, num_bytes, changed, time_limit=time_limit)


def _require_manifest(manifest: Path | None) -> None:
    if manifest is not None and not manifest.is_file():
        raise ValueError(f"`manifest` {manifest} does not exist: write one with kdvideo data check")


def _absence(path: Path) -> str | None:
    """Returns why a file is not there. None if it is."""
    try:
        path.stat()
    except OSError as error:
        return describe_error(error, path)
    return None


def _report_bad(
    records: Sequence[VideoRecord], probes: Sequence[VideoProbe], *, max_bad_fraction: float, label: str
) -> None:
    bad = [f"{record.name}: {found.problem}" for record, found in zip(records, probes, strict=True) if found.problem]
    if not bad:
        return
    share = len(bad) / len(records)
    if share > max_bad_fraction:
        raise ValueError(
            f"{len(bad)} of {len(records)} {label} cannot be used, {share:.1%}, and `max_bad_fraction` allows "
            f"{max_bad_fraction:.1%}; the first is {bad[0]}"
        )
    logger.warning("%d of %d %s cannot be used and are left out:", len(bad), len(records), label)
    for line in bad[:_NAMED]:
        logger.warning("  %s", line)
    if len(bad) > _NAMED:
        logger.warning("  and %d more; kdvideo data check names them all", len(bad) - _NAMED)


def _report_cut_off(records: Sequence[VideoRecord], probes: Sequence[VideoProbe], *, label: str) -> None:
    short = [
        f"{record.name}: {_say_missing(found.missing)}"
        for record, found in zip(records, probes, strict=True)
        if found.missing
    ]
    if short:
        logger.warning("%d of %d %s are cut off; the first is %s", len(short), len(records), label, short[0])


def _say_missing(seconds: float) -> str:
    return f"its last {seconds:g} s are missing, copy or download it again"


def _memory_of(root: Path) -> Path:
    resolved = root.resolve()
    digest = hashlib.sha256(str(resolved).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return kdvideo_home() / "manifests" / f"{resolved.name}-{digest}.jsonl"


def _describe(value: object) -> str:
    return ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else f"{value}"
