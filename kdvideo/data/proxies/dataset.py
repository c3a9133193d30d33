"""Writes a whole dataset as proxies, with many processes or jobs, which may be killed and continued."""

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from kdvideo.data.checking.isolation import Failure, run_isolated
from kdvideo.data.checking.manifest import (
    FORMAT,
    MANIFEST_NAME,
    ManifestEntry,
    append_entry,
    is_current,
    open_journal,
    part_of,
    part_path,
    read_manifest,
    write_manifest,
)
from kdvideo.data.datasets.records import check_apart
from kdvideo.data.datasets.walk import find_readable_videos
from kdvideo.data.proxies.transcode import ProxyConfig, proxy_name, write_proxy
from kdvideo.data.readers.file_errors import RAISE_LIMIT, describe_error, out_of_time, reason_of, system_error
from kdvideo.data.readers.probe import VideoProbe
from kdvideo.data.readers.revision import still_holds
from kdvideo.files import file_sha256, locked, remove_temporaries, write_atomic
from kdvideo.former_names import former_attributes

__all__ = ["write_proxies"]
__getattr__ = former_attributes(__name__)

logger = logging.getLogger("kdvideo")
_LIST_SUFFIXES = (".txt", ".csv", ".json", ".jsonl")
_UNKNOWN = {"file_bytes": -1, "mtime_ns": -1}  # for a source that the system does not give
_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)  # the target's file system refuses the name
_LOCK_SECONDS = 20.0  # workers of a killed run may need as long to notice that


def write_proxies(
    source: Path,
    target: Path,
    *,
    config: ProxyConfig,
    part: tuple[int, int] | None = None,
    num_workers: int,
    time_limit: float,
) -> dict[str, ManifestEntry]:
    """Writes a proxy of every video below `source`.

    A proxy has the same place below `target`, and the lists are copied there. `target` gets a manifest, so it needs no
    check. Each line also says how a proxy was made and from what (path, sha256, size, modification time). A proxy whose
    line still holds is left alone, so a killed run goes on. Sources that give no frame are named in the manifest and
    tried again when they change.

    Args:
        source: the dataset's folder.
        target: a folder outside `source`.
        config: how to encode.
        part: (i, n): only every n-th video from the i-th on. A last call for the whole joins the parts' manifests.
        num_workers: how many processes work at once.
        time_limit: seconds per video.

    Returns:
        The entry of each proxy, by its path below `target`.

    Raises:
        ValueError: one folder lies in the other, two sources have one proxy's name, or another process is at work.
    """
    check_apart(source, target)
    by_proxy = _sources_by_proxy(source, part)
    manifest = target / MANIFEST_NAME
    journal = part_path(manifest, part)
    with locked(journal.with_name(f".{journal.name}.lock"), timeout=_LOCK_SECONDS, what="these proxies"):
        _remove_leftovers(target, by_proxy)
        _copy_lists(source, target)
        known = read_manifest(manifest)
        describe = partial(_describe_source, source, config=config)
        there = {
            proxy: entry
            for proxy, name in by_proxy.items()
            if (entry := known.get(proxy)) and _is_done(entry, describe(name), target, time_limit=time_limit)
        }
        done = {proxy: entry for proxy, entry in there.items() if entry.format == FORMAT}
        todo = [(name, there.get(proxy)) for proxy, name in by_proxy.items() if proxy not in done]
        make = partial(_write_one, source, target, config=config, time_limit=time_limit)
        results = run_isolated(make, todo, num_workers=num_workers, time_limit=2 * time_limit)
        with open_journal(journal) as stream:
            for (name, _), result in tqdm(results, total=len(todo), desc="writing proxies", unit="video", disable=None):
                if isinstance(result, Failure):
                    reason = out_of_time(time_limit) if result.timed_out else result.reason
                    result = _failed(source, name, reason, config=config, time_limit=time_limit)
                done[result.path] = result
                if _is_lasting(result):
                    append_entry(stream, result)
                    _remove_outdated(target, result)
        if part is None:
            write_manifest(manifest, known | {proxy: entry for proxy, entry in done.items() if _is_lasting(entry)})
    return done


def _sources_by_proxy(source: Path, part: tuple[int, int] | None) -> dict[str, str]:
    """Returns the part's videos by the names of their proxies."""
    names = find_readable_videos(source)
    if len({proxy_name(name) for name in names}) < len(names):
        raise ValueError(f"{source} has both a and a.mp4, whose proxies would be one file")
    by_proxy = {proxy_name(name): name for name in part_of(names, part)}
    if not by_proxy:
        raise ValueError(f"{source} has no videos" + ("" if part is None else " in this part"))
    return by_proxy


def _write_one(
    source: Path, target: Path, item: tuple[str, ManifestEntry | None], *, config: ProxyConfig, time_limit: float
) -> ManifestEntry:
    """Writes the proxy of one source. Keeps a former one that was made from the same frames."""
    name, former = item
    if former is not None and still_holds(source / name, frames=former.probe.frames, time_limit=time_limit):
        return replace(former, format=FORMAT)
    failed = partial(_failed, source, name, config=config, time_limit=time_limit)
    made_from = _describe_source(source, name, config)
    try:
        made_from["sha256"] = file_sha256(source / name)
    except OSError as error:
        return failed(describe_error(error, source / name), from_system=True)
    proxy = target / proxy_name(name)
    started = time.monotonic()
    try:
        found = write_proxy(source / name, proxy, config, time_limit=time_limit)
    except (ValueError, OSError, av.FFmpegError) as error:
        reason = _reason(error, source / name, proxy)
        return failed(f"{reason}: {RAISE_LIMIT}" if time.monotonic() - started >= time_limit else reason)
    status = proxy.stat()
    entry = ManifestEntry(proxy_name(name), found, status.st_size, status.st_mtime_ns, source=made_from)
    return replace(entry, time_limit=time_limit)


def _reason(error: Exception, source: Path, proxy: Path) -> str:
    """Returns why this source has no proxy.

    Raises:
        OSError: the target's folder or disk takes no file at all.
    """
    if (unread := system_error(source)) is not None:
        return describe_error(unread, source)
    if not isinstance(error, OSError):
        return " ".join(reason_of(error).split())
    if error.errno in _OF_THE_NAME:
        return f"would have a proxy whose name the target cannot have ({error.strerror}): shorten or change its name"
    raise OSError(error.errno, f"{proxy} cannot be written: {error.strerror or error}") from None


def _failed(
    source: Path, name: str, reason: str, *, config: ProxyConfig, time_limit: float, from_system: bool = False
) -> ManifestEntry:
    problem = VideoProbe(problem=f"no proxy, since {name} {reason}")
    made_from = _describe_source(source, name, config)
    if from_system or system_error(source / name) is not None:
        made_from |= _UNKNOWN
    return ManifestEntry(proxy_name(name), problem, file_bytes=-1, mtime_ns=-1, source=made_from, time_limit=time_limit)


def _describe_source(source: Path, name: str, config: ProxyConfig) -> dict[str, Any]:
    try:
        status = (source / name).stat()
    except OSError:
        return {"path": name, **_UNKNOWN, **asdict(config)}
    return {"path": name, "file_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, **asdict(config)}


def _is_done(entry: ManifestEntry, made_from: Mapping[str, Any], target: Path, *, time_limit: float) -> bool:
    """Returns whether a proxy, or its absence, is up to date. Source and config must be the same as now."""
    before = {key: value for key, value in (entry.source or {}).items() if key != "sha256"}
    if entry.probe.problem is not None:
        return before == made_from and entry.time_limit >= time_limit
    return before == made_from and is_current(entry, target)


def _is_lasting(entry: ManifestEntry) -> bool:
    """Returns whether the entry is about the source's content.

    Otherwise it is about a file that the system withholds now.
    """
    return entry.source is None or entry.source["file_bytes"] >= 0


def _remove_outdated(target: Path, entry: ManifestEntry) -> None:
    """Removes the former proxy of a source that broke."""
    if entry.probe.problem is not None:
        with suppress(OSError):  # the target cannot have such a name
            (target / entry.path).unlink(missing_ok=True)


def _remove_leftovers(target: Path, proxies: Iterable[str]) -> None:
    """Removes the temporary files of a killed run. Those of other parts at work stay."""
    by_folder: dict[Path, set[str]] = {}
    for proxy in proxies:
        by_folder.setdefault((target / proxy).parent, set()).add(Path(proxy).name)
    for folder, names in by_folder.items():
        remove_temporaries(folder, of=names)


def _copy_lists(source: Path, target: Path) -> None:
    """Copies text, csv and JSON files to the same places. `target` is then a complete dataset."""
    own = Path(MANIFEST_NAME).stem
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix not in _LIST_SUFFIXES or name.startswith(own):
                continue
            if (error := system_error(file)) is not None:
                logger.warning("list %s is not copied: it %s", file, describe_error(error, file))
            elif file.is_file():
                write_atomic(target / file.relative_to(source), partial(shutil.copyfile, file))
