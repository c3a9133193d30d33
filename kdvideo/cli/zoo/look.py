"""`kdvideo zoo list | show | verify`: commands that change nothing."""

import argparse
import fnmatch
import sys
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.process import long_work
from kdvideo.cli.zoo.options import add_zoo, zoo_of
from kdvideo.foreign import printable
from kdvideo.paths import expand_user

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds the commands to argparse's `commands`."""
    listing = commands.add_parser("list", help="architectures and models: weights, parameters, metrics, teachers")
    listing.add_argument("pattern", nargs="?", default="*", help='shell-style, e.g. "r3d_10*"')
    listing.add_argument("--json", action="store_true", help="everything known of each, for programs")
    add_zoo(listing)
    add_import_argument(listing)
    listing.set_defaults(run=_list)
    show = commands.add_parser("show", help="all that is known of one model")
    show.add_argument("name", help="a zoo name, hf:OWNER/REPO, or a folder or file of weights")
    show.add_argument("--config", action="store_true", help="only the config that it was trained with, for a file")
    add_import_argument(show)
    add_zoo(show)
    show.set_defaults(run=_show)
    verify = commands.add_parser("verify", help="check every file of a zoo against its entry, or a model's metrics")
    verify.add_argument("--metrics", metavar="NAME", help="measure this model again and compare with its entry")
    verify.add_argument("--data", type=Path, metavar="DIR", help="for --metrics: the videos that it was trained on")
    add_zoo(verify)
    add_import_argument(verify)
    verify.set_defaults(run=_verify)


def _list(options: argparse.Namespace) -> None:
    import simplejson

    from kdvideo.cli.zoo.table import list_architectures, list_states
    from kdvideo.registry import BACKBONES
    from kdvideo.zoo.manage import entry_states

    architectures = fnmatch.filter(BACKBONES.names(), options.pattern)
    states = [state for state in entry_states(options.zoo) if fnmatch.fnmatch(state.entry.name, options.pattern)]
    if options.json:
        listed = [{"name": name, "architecture": name} for name in architectures]
        print(simplejson.dumps([*listed, *(state.to_dict() for state in states)], indent=2))
        return
    parts = [part for part in (list_architectures(architectures), list_states(states)) if part]
    print("\n\n".join("\n".join(part) for part in parts) or f"no architecture and no model is called {options.pattern}")


def _show(options: argparse.Namespace) -> None:
    import dataclasses

    import yaml

    from kdvideo.zoo.describe import describe_feature, describe_source, describe_terms
    from kdvideo.zoo.fetch import recorded_hash
    from kdvideo.zoo.manage import state_of
    from kdvideo.zoo.names_of_sources import EntryName, LocalFile, parse_source
    from kdvideo.zoo.sources import find_entry

    def show(values: dict[str, Any]) -> None:
        print(printable(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)), end="")

    if options.config:
        print(printable(_loadable_config(options)), end="")
        return
    named = parse_source(options.name)
    if not isinstance(named, EntryName | LocalFile) or (isinstance(named, LocalFile) and named.path.is_file()):
        show(describe_source(options.name))
        return
    found = find_entry(options.name, zoo=options.zoo)
    entry, state = found.entry, state_of(found)
    values = {**dataclasses.asdict(entry), "model": entry.model.to_dict()}
    if not entry.more_teachers:
        del values["more_teachers"]
    if entry.started is None:
        values["started"] = "not recorded"
    if not values.pop("config"):
        del values["started"]  # others have trained it
    values["classes"] = entry.class_names
    recorded = recorded_hash(entry.name)
    if not entry.is_verified:
        values["sha256"] = f"{entry.sha256 or 'unknown'} (unverified)"
        values["recorded"] = dataclasses.asdict(recorded) if recorded else "at the first download"
    values |= describe_terms(entry.licence, entry.teachers)
    values |= {"feature": describe_feature(entry.model), "zoo": str(found.zoo), "weights": state.weights}
    if state.weights in ("shipped", "published", "fetched"):
        values["path"] = str(found.path)
    show(values)


def _loadable_config(options: argparse.Namespace) -> str:
    """Returns the config with which an entry's run can be made again, and in comments how it was started."""
    from kdvideo.engine.repeat import read_recipe
    from kdvideo.zoo.folder import as_zoo

    recipe = read_recipe(options.name, zoo=as_zoo(options.zoo))
    started = recipe.started or {"threads, processes and versions": "not recorded"}
    lines = [f"{key}: {value}" for key, value in {"name": recipe.name, **started}.items()]
    return "".join(f"# {' '.join(line.split())}\n" for line in lines) + recipe.cfg.dump()


def _verify(options: argparse.Namespace) -> int:
    if (options.metrics is None) != (options.data is None):
        raise ValueError("--metrics NAME and --data DIR go together: the model, and the folder of its videos")
    return _verify_files(options) if options.metrics is None else _verify_metrics(options)


def _verify_files(options: argparse.Namespace) -> int:
    from kdvideo.zoo.manage import verify_zoo
    from kdvideo.zoo.sources import zoos

    checked = [zoo_of(options)] if options.zoo else zoos()
    problems = [problem for zoo in checked for problem in verify_zoo(zoo)]
    for problem in problems:
        print(printable(f"kdvideo: {problem}"), file=sys.stderr)
    if not problems:
        print(f"{', '.join(map(str, checked))}: all files are what their entries say")
    return 1 if problems else 0


def _verify_metrics(options: argparse.Namespace) -> int:
    from kdvideo.engine.verify import verify_metrics

    zoo = zoo_of(options) if options.zoo else None
    with long_work():
        comparisons = verify_metrics(options.metrics, expand_user(options.data), zoo=zoo)
    for one in comparisons:
        if one.agrees:
            print(printable(str(one)))
        else:
            print(printable(f"kdvideo: {options.metrics}: {one}"), file=sys.stderr)
    return 0 if all(one.agrees for one in comparisons) else 1
