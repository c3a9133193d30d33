"""`kdvideo data`."""

import argparse
import time
from pathlib import Path
from typing import Any

from kdvideo.cli import submit_parts
from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import add_time_limit, import_words
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `data` and its own commands to argparse's `commands`."""
    parser = commands.add_parser("data", help="check a dataset, make small fast copies of its videos")
    own = parser.add_subparsers(dest="data_command", required=True)
    check = own.add_parser("check", help="look at every video once, write a manifest that training uses")
    check.add_argument("root", type=Path, help="the dataset's folder")
    check.add_argument("--config-file", type=Path, help="check what this config's lists name, not all below ROOT")
    check.add_argument("--manifest", type=Path, help="where to write, if not to ROOT; for DATA.MANIFEST")
    add_import_argument(check)
    check.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values")
    check.set_defaults(run=_check)
    prepare = own.add_parser("prepare", help="write small proxies that decode fast, resumable")
    prepare.add_argument("source", type=Path, help="the dataset's folder")
    prepare.add_argument("target", type=Path, help="the folder of the proxies, then a dataset of its own")
    prepare.add_argument("--short-side", type=int, help="pixels, default 128: DATA.SHORT_SIDE of the training")
    prepare.set_defaults(run=_prepare)
    subset = own.add_parser("subset", help="rebuild a subset of UCF101 from the names of its files")
    subset.add_argument("source", type=Path, metavar="UCF101_ROOT", help="the folder of UCF101's class folders")
    subset.add_argument("list", metavar="LIST", help="ucf101mini, or a csv of file, class_number, subset, sha256")
    subset.add_argument("target", type=Path, metavar="DST", help="the folder to make")
    subset.set_defaults(run=_subset)
    for command, seconds in ((check, 120.0), (prepare, 600.0)):
        submit_parts.add_arguments(command)
        command.add_argument("--workers", type=int, help="processes; default: one per core, of jobs --cpus-per-task")
        add_time_limit(command, default=seconds)


def _check(options: argparse.Namespace) -> None:
    from kdvideo.data.checking.check import check_dataset, describe_summary
    from kdvideo.data.checking.isolation import available_cores
    from kdvideo.data.checking.manifest import summarise
    from kdvideo.data.datasets.records import check_root
    from kdvideo.data.datasets.walk import find_readable_videos

    root = check_root(expand_user(options.root))
    names = _listed(options, root) if options.config_file or options.overrides else find_readable_videos(root)
    if submit_parts.is_asked(options):
        submit_parts.submit_parts(options, _arguments_of_check(options), num_videos=len(set(names)))
        return
    entries = check_dataset(
        root,
        names,
        manifest=options.manifest and expand_user(options.manifest),
        part=options.part,
        num_workers=options.workers or available_cores(),
        time_limit=options.time_limit,
    )
    print(describe_summary(summarise(entries.values())))


def _arguments_of_check(options: argparse.Namespace) -> list[str]:
    arguments = ["data", "check", str(options.root)]
    arguments += ["--config-file", str(options.config_file)] if options.config_file else []
    arguments += ["--manifest", str(options.manifest)] if options.manifest else []
    return [*arguments, *import_words(options), *_common_arguments(options), *options.overrides]


def _common_arguments(options: argparse.Namespace) -> list[str]:
    workers = options.workers or options.cpus_per_task
    return ["--workers", str(workers), "--time-limit", f"{options.time_limit:g}"]


def _listed(options: argparse.Namespace, root: Path) -> list[str]:
    """Returns the videos that the lists of the config's dataset name."""
    from kdvideo.config import load_config
    from kdvideo.engine.build import read_records

    cfg = load_config(options.config_file, [*options.overrides, "DATA.ROOT", str(root)])
    records = [*read_records(cfg, "train"), *read_records(cfg, "test")]
    return [record.path.relative_to(root).as_posix() for record in records]


def _prepare(options: argparse.Namespace) -> None:
    from kdvideo.data.checking.isolation import available_cores
    from kdvideo.data.datasets.records import check_apart
    from kdvideo.data.datasets.walk import find_readable_videos
    from kdvideo.data.proxies.dataset import write_proxies
    from kdvideo.data.proxies.transcode import ProxyConfig

    started = time.perf_counter()
    source, target = expand_user(options.source), expand_user(options.target)
    if submit_parts.is_asked(options):
        check_apart(source, target)
        arguments = ["data", "prepare", str(options.source), str(options.target), *_common_arguments(options)]
        arguments += [] if options.short_side is None else ["--short-side", str(options.short_side)]
        submit_parts.submit_parts(options, arguments, num_videos=len(find_readable_videos(source)))
        return
    entries = write_proxies(
        source,
        target,
        config=ProxyConfig() if options.short_side is None else ProxyConfig(short_side=options.short_side),
        part=options.part,
        num_workers=options.workers or available_cores(),
        time_limit=options.time_limit,
    )
    good = [entry for entry in entries.values() if entry.probe.problem is None]
    before, after = sum(_source_bytes(entry) for entry in good), sum(entry.file_bytes for entry in good)
    print(
        f"{len(good)} proxies, {after / 1e6:.1f} MB of {before / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s; "
        f"{len(entries) - len(good)} videos without one"
    )
    for entry in entries.values():
        if entry.probe.problem is not None:
            print(f"  {entry.path}: {entry.probe.problem}")


def _subset(options: argparse.Namespace) -> None:
    from kdvideo.data.datasets.rebuild import find_subset_list, read_subset_list, rebuild_subset

    files = read_subset_list(find_subset_list(options.list))
    rebuild_subset(expand_user(options.source), files, expand_user(options.target))
    print(f"{len(files)} videos in {options.target}")


def _source_bytes(entry: Any) -> int:
    return (entry.source or {}).get("file_bytes", 0)
