"""A whole dataset as proxies: many processes, many jobs, killed and continued."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdvideo.data.datasets.records import check_apart
from kdvideo.data.datasets.walk import find_readable_videos
from kdvideo.data.isolation import Failure, run_isolated
from kdvideo.data.manifest import (
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
from kdvideo.data.probe import VideoProbe
from kdvideo.data.proxies import ProxyConfig, proxy_name, write_proxy
from kdvideo.files import file_sha256, locked, remove_temporaries, write_atomic

__all__ = ["prepare_dataset"]

_LIST_SUFFIXES = (".txt", ".csv", ".json", ".jsonl")
_LOCK_SECONDS = 20.0  # as long as workers of a killed run may need to notice that


def prepare_dataset(
    source: Path,
    target: Path,
    *,
    config: ProxyConfig,
    part: tuple[int, int] | None = None,
    num_workers: int,
    time_limit: float,
) -> dict[str, ManifestEntry]:
    """Writes a proxy of every video below `source` at the same place below `target`, and copies the lists.

    `target` gets a manifest, so that it needs no check: its lines also say what each proxy was made from (path, sha256,
    size, time of change) and how. A proxy whose line says what would be done again is left alone, so a killed run
    goes on; sources that give no frame are named in the manifest and tried again when they change.

    Args:
        source: the dataset's folder.
        target: a folder outside it.
        config: how to encode.
        part: (i, n): only every n-th video from the i-th on, with a manifest of its own. A last call for the whole
            joins the manifests.
        num_workers: processes.
        time_limit: seconds a video.

    Returns:
        The entry of each proxy, by its path below `target`.

    Raises:
        ValueError: folders that cannot be these, two sources with one proxy's name, or another process at work.
    """
    check_apart(source, target)
    by_proxy = _sources_by_proxy(source, part)
    manifest = target / MANIFEST_NAME
    journal = part_path(manifest, part)
    lock = journal.with_name(f".{journal.name}.lock")
    with locked(lock, timeout=_LOCK_SECONDS, what="these proxies"):
        _remove_leftovers(target, by_proxy)
        _copy_lists(source, target)
        known = read_manifest(manifest)
        done = {
            proxy: known[proxy]
            for proxy, name in by_proxy.items()
            if proxy in known and _is_done(known[proxy], _describe_source(source, name, config), target)
        }
        todo = [name for proxy, name in by_proxy.items() if proxy not in done]
        make = partial(_prepare_one, source, target, config=config, time_limit=time_limit)
        results = run_isolated(make, todo, num_workers=num_workers, time_limit=2 * time_limit)
        with open_journal(journal) as stream:
            for name, result in tqdm(results, total=len(todo), desc="writing proxies", unit="video", disable=None):
                entry = _failed(source, name, result.reason, config) if isinstance(result, Failure) else result
                if entry.probe.problem is not None:
                    (target / entry.path).unlink(missing_ok=True)  # of the source as it was before it broke
                append_entry(stream, entry)
                done[entry.path] = entry
        if part is None:
            write_manifest(manifest, {**known, **done})
    return done


def _sources_by_proxy(source: Path, part: tuple[int, int] | None) -> dict[str, str]:
    """The part's videos below `source`, by their proxies' names."""
    names = find_readable_videos(source)
    if len({proxy_name(name) for name in names}) < len(names):
        raise ValueError(f"{source} has both a and a.mp4, whose proxies would be one file")
    by_proxy = {proxy_name(name): name for name in part_of(names, part)}
    if not by_proxy:
        raise ValueError(f"{source} has no videos" + ("" if part is None else " in this part"))
    return by_proxy


def _prepare_one(source: Path, target: Path, name: str, *, config: ProxyConfig, time_limit: float) -> ManifestEntry:
    made_from = _describe_source(source, name, config)
    made_from["sha256"] = file_sha256(source / name)
    proxy = target / proxy_name(name)
    try:
        found = write_proxy(source / name, proxy, config, time_limit=time_limit)
    except ValueError as error:
        return _failed(source, name, str(error).removeprefix(f"video {source / name} "), config)
    status = proxy.stat()
    return ManifestEntry(proxy_name(name), found, status.st_size, status.st_mtime_ns, source=made_from)


def _failed(source: Path, name: str, reason: str, config: ProxyConfig) -> ManifestEntry:
    problem = VideoProbe(problem=f"no proxy, since {name} {reason}")
    made_from = _describe_source(source, name, config)
    return ManifestEntry(proxy_name(name), problem, file_bytes=-1, mtime_ns=-1, source=made_from)


def _describe_source(source: Path, name: str, config: ProxyConfig) -> dict[str, Any]:
    status = (source / name).stat()
    return {"path": name, "file_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, **asdict(config)}


def _is_done(entry: ManifestEntry, made_from: Mapping[str, Any], target: Path) -> bool:
    """Whether the proxy, or the reason why there is none, is of the source as it is now and of this config."""
    before = {key: value for key, value in (entry.source or {}).items() if key != "sha256"}
    return before == made_from and (entry.probe.problem is not None or is_current(entry, target))


def _remove_leftovers(target: Path, proxies: Iterable[str]) -> None:
    """Removes the temporary files of a killed run, and leaves those of other parts that are at work."""
    by_folder: dict[Path, set[str]] = {}
    for proxy in proxies:
        by_folder.setdefault((target / proxy).parent, set()).add(Path(proxy).name)
    for folder, names in by_folder.items():
        remove_temporaries(folder, of=names)


def _copy_lists(source: Path, target: Path) -> None:
    """Copies text, csv and JSON files to the same places, so that `target` can be used as the dataset."""
    own = Path(MANIFEST_NAME).stem
    for file in sorted(source.rglob("*")):
        if file.suffix in _LIST_SUFFIXES and file.is_file() and not file.name.startswith(own):
            write_atomic(target / file.relative_to(source), partial(shutil.copyfile, file))
