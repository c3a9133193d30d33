"""Checkpoints of a run: all that is needed to go on as if nothing had happened."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from kdvideo.config import all_settings, flatten_config, stored_config
from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.distributed import is_main
from kdvideo.engine.guards import writing
from kdvideo.engine.run_folder import RunFolder
from kdvideo.files import check_archive, make_durable, write_atomic

__all__ = [
    "best_weights",
    "check_same_run",
    "load_checkpoint",
    "read_state",
    "save_checkpoint",
    "save_state",
]

logger = logging.getLogger("kdvideo")


def save_checkpoint(folder: RunFolder, state: Mapping[str, Any], *, max_to_keep: int) -> None:
    """Writes the run's newest checkpoint, whole or not at all, and lets the older ones move on by one name.

    ::

        checkpoint.pt   checkpoint.1.pt   checkpoint.2.pt     max_to_keep 3
              d   ->    c           ->    b           ->      a is gone
    """

    def fill(temporary: Path) -> None:
        _save(state, temporary)
        make_durable(temporary)  # before a checkpoint that might be the last good one goes
        _move_on(folder, max_to_keep)

    with writing(folder.newest):
        write_atomic(folder.newest, fill)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces one file of tensors, whole or not at all."""
    with writing(path):
        write_atomic(path, lambda temporary: _save(state, temporary))


def load_checkpoint(folder: RunFolder) -> dict[str, Any]:
    """Reads the run's newest checkpoint that is undamaged; damaged ones are named in the log and put aside.

    Raises:
        ValueError: there is none, or none can be read.
    """
    paths = folder.checkpoints()
    if not paths:
        raise ValueError(f"--resume: {folder.newest} does not exist; start the run without --resume")
    for path in paths:
        try:
            state = read_state(path)
        except ValueError as error:
            problem = error
            if not is_main():
                break  # rank 0 alone decides what all go on from
            logger.warning("%s; going on from the checkpoint before it", error)
            path.replace(path.with_name(f"{path.name}.damaged"))
        else:
            logger.info("read %s", path)
            return state
    raise ValueError(f"--resume: {problem}") from None


def read_state(path: Path) -> dict[str, Any]:
    """Reads a file that `save_checkpoint` or `save_state` has written, after comparing its checksums.

    Raises:
        ValueError: it is damaged, or something else.
    """
    check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zipfile or the tensors raise
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, no state of a run")
    return state


def best_weights(best: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the student's tensors of a `best.pt`; earlier versions of kdvideo kept them as `model`."""
    return best["student"] if "student" in best else best["model"]


def check_same_run(cfg: CfgNode, checkpoint: Mapping[str, Any]) -> None:
    """Checks that a config goes on with a checkpoint's run.

    Places, workers, evaluation and publishing may change, and the number of epochs at a constant rate.

    Raises:
        ValueError: names the first key that differs; or there is no config.
    """
    if not {"config", "epoch_step"} <= checkpoint.keys():
        raise ValueError("--resume: the checkpoint is no run's, or one of an older kdvideo's: start a new run")
    before = all_settings(stored_config(checkpoint["config"]))
    free_keys = keys_with_role(Role.RESUMABLE)
    for key, value in flatten_config(cfg).items():
        free = key in free_keys or (key == "SOLVER.EPOCHS" and cfg.SOLVER.SCHEDULE == "constant")
        if value != before.get(key) and not free:
            raise ValueError(f"--resume: {key} is {value!r}, the run was started with {before.get(key)!r}: keep it")


def _save(state: Mapping[str, Any], temporary: Path) -> None:
    with temporary.open("wb") as stream:  # given a path, torch.save would not tell why it cannot write
        torch.save(dict(state), stream)


def _move_on(folder: RunFolder, max_to_keep: int) -> None:
    if max_to_keep < 2 or not folder.newest.exists():
        return
    for age in range(max_to_keep - 1, 1, -1):
        if (path := folder.older(age - 1)).exists():
            path.replace(folder.older(age))
    previous = folder.older(1)
    previous.unlink(missing_ok=True)
    try:
        os.link(folder.newest, previous)  # a second name, so that there is a checkpoint.pt at any moment
    except OSError:  # a file system without such names
        folder.newest.replace(previous)
