"""Runs that are made again from what a zoo entry or a run's folder says of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import get_defaults, merge_config, repeatable_settings, stored_config
from kdvideo.device import choose_device
from kdvideo.engine.provenance import checkout_commit, start_of
from kdvideo.engine.run_folder import RunFolder
from kdvideo.foreign import read_text
from kdvideo.paths import expand_user
from kdvideo.version import __version__
from kdvideo.zoo.entry import Start, ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import find_entry

__all__ = ["Recipe", "read_recipe", "use_recorded_threads"]

_MOST_THREADS = 512  # that somebody else's entry can ask for
_GONE = {"TEACHER.KD_WEIGHT": 1.0}  # keys of earlier versions, with the value at which they changed nothing


@dataclass(frozen=True)
class Recipe:
    """What a run can be made again from.

    Attributes:
        name: the name of the entry or of the run's folder.
        cfg: the run's config, with places of its own: OUTPUT_DIR is output/NAME, and nothing is published.
        started: how the run was started. None if that was not recorded.
    """

    name: str
    cfg: CfgNode
    started: Start | None

    def differences(self) -> list[str]:
        """Returns how this process differs from the run's, in words. The weights' last bits may depend on it."""
        if self.started is None:
            return [f"{self.name} does not say with which threads, processes and versions it was made"]
        return list(_differences(self.started))


def read_recipe(source: str, *, zoo: Zoo | None = None) -> Recipe:
    """Reads how a model was trained.

    Args:
        source: a zoo name, the path of an entry's JSON file, or a run's folder.
        zoo: a zoo to look into before the user's and the packaged one.

    Raises:
        ValueError: there is no such entry or run, it has no config, or a key of it is unknown.
    """
    path = expand_user(source)
    folder = RunFolder(path)
    if path.is_dir() and (config := folder.config()):
        return _recipe(path.resolve().name, config, start_of(folder))
    if path.is_file() and path.suffix == ".json":
        entry = ZooEntry.from_json(read_text(path), origin=str(path))
    elif path.exists() or "/" in source.removeprefix("kdvideo://"):
        raise ValueError(f"{source} is no zoo name, no entry's NAME.json and no run's folder with its config")
    else:
        entry = find_entry(source.removeprefix("kdvideo://"), zoo=zoo).entry
    config = stored_config(entry.config)
    if not config:
        raise ValueError(f"{entry.name} has no config: {entry.source or 'it was not trained with kdvideo'}")
    return _recipe(entry.name, config, entry.started)


def use_recorded_threads(recipe: Recipe) -> None:
    """Sets torch's number of threads to that of a run. OMP_NUM_THREADS, where the user has set it, holds.

    It may be above this machine's cores, since the last bits depend on it.

    Raises:
        ValueError: the number is above what any machine has.
    """
    if recipe.started is None or "OMP_NUM_THREADS" in os.environ:
        return
    threads = recipe.started["threads"]
    if threads > (most := max(_MOST_THREADS, os.cpu_count() or 1)):
        raise ValueError(
            f"{recipe.name} says that it was made with {threads} threads; more than {most} are not started: set "
            "OMP_NUM_THREADS"
        )
    torch.set_num_threads(max(1, threads))


def _recipe(name: str, config: dict[str, object], started: Start | None) -> Recipe:
    cfg = get_defaults()
    settings = {key: value for key, value in repeatable_settings(config).items() if _GONE.get(key) != value}
    merge_config(cfg, settings, origin=f"the config of {name}")
    cfg.OUTPUT_DIR = str(Path(cfg.OUTPUT_DIR) / name)
    return Recipe(name, cfg, started)


def _differences(started: Start) -> Iterator[str]:
    device = choose_device()
    now = {
        "kdvideo": __version__,
        "git": checkout_commit(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "ranks": int(os.environ.get("WORLD_SIZE", "1")),
    }
    for key, value in now.items():
        then = started[key]  # type: ignore[literal-required]
        if then != value:
            yield f"{key} {then or 'unknown'}, here {value or 'unknown'}"
    if started["git"].partition(",")[2]:
        yield "it was made with changes of kdvideo's files that no commit has"
