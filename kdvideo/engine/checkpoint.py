"""Checkpoints of a run. They hold everything that is needed to continue it without any difference."""

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
    """Writes the run's newest checkpoint atomically, and renames each older one to the next number.

    ::

        checkpoint.pt   checkpoint.1.pt   checkpoint.2.pt     max_to_keep 3
              d   ->    c           ->    b           ->      a is deleted
    """

    def fill(temporary: Path) -> None:
        _save(state, temporary)
        make_durable(temporary)  # before an older checkpoint is deleted, which might be the last good one
        _move_on(folder, max_to_keep)

    with writing(folder.newest):
        write_atomic(folder.newest, fill)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces one file of tensors atomically."""
    with writing(path):
        write_atomic(path, lambda temporary: _save(state, temporary))


def load_checkpoint(folder: RunFolder) -> dict[str, Any]:
    """Reads the run's newest undamaged checkpoint. It logs damaged ones and renames them.

    Raises:
        ValueError: there is no checkpoint, or none can be read.
    """
    for path in require_checkpoints(folder):
        try:
            state = read_state(path)
        except ValueError as error:
            problem = error
            if not is_main():
                break  # rank 0 alone decides which checkpoint all ranks continue from
            logger.warning("%s; going on from the checkpoint before it", error)
            path.replace(path.with_name(f"{path.name}.damaged"))
        else:
            logger.info("read %s", path)
            return state
    raise ValueError(f"--resume: {problem}") from None


def require_checkpoints(folder: RunFolder) -> list[Path]:
    """Returns the run's checkpoints, the newest first.

    Raises:
        ValueError: there is none.
    """
    if not (paths := folder.checkpoints()):
        raise ValueError(f"--resume: {folder.newest} does not exist; start the run without --resume")
    return paths


def read_state(path: Path) -> dict[str, Any]:
    """Reads a file of `save_checkpoint` or `save_state` after checking its checksums.

    Raises:
        ValueError: the file is damaged, or is something else.
    """
    check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises the errors of pickle, zipfile and the tensors
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, no state of a run")
    return state


def best_weights(best: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the student's tensors of a `best.pt`. Earlier versions of kdvideo stored them as `model`."""
    return best["student"] if "student" in best else best["model"]


def check_same_run(cfg: CfgNode, checkpoint: Mapping[str, Any]) -> None:
    """Checks that a config can continue a checkpoint's run.

    Paths, workers, evaluation and publishing may change. At a rate that is constant from the first step on, the number
    of epochs may change, too.

    Raises:
        ValueError: a key differs, and the message names the first one; or the checkpoint has no config.
    """
    if not {"config", "epoch_step"} <= checkpoint.keys():
        raise ValueError("--resume: the checkpoint is no run's, or one of an older kdvideo's: start a new run")
    before = all_settings(stored_config(checkpoint["config"]))
    free_keys = keys_with_role(Role.RESUMABLE)
    is_constant = cfg.SOLVER.SCHEDULE == "constant" and not cfg.SOLVER.WARMUP
    if strange := [key for key in before if key.partition(".")[0] not in cfg]:
        raise ValueError(f"--resume: the run has the key {strange[0]}: --import the FILE.py that adds it, as before")
    for key, value in flatten_config(_with_former_names(cfg, before, checkpoint)).items():
        free = key in free_keys or (key == "SOLVER.EPOCHS" and is_constant)
        if value != before.get(key) and not free:
            raise ValueError(f"--resume: {key} is {value!r}, the run was started with {before.get(key)!r}: keep it")


def _with_former_names(cfg: CfgNode, before: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> CfgNode:
    """Returns the config with a teacher's name of the run where another is given that means exactly its weights."""
    exact = [teacher["name"] for teacher in checkpoint.get("teachers", ())]
    named = cfg.clone()
    named.defrost()
    if exact == [cfg.TEACHER.WEIGHTS]:
        named.TEACHER.WEIGHTS = before["TEACHER.WEIGHTS"]
    pairs = zip(named.TEACHERS, exact, before.get("TEACHERS", ()), strict=False)
    for block, name, former in pairs:
        if block["WEIGHTS"] == name:
            block["WEIGHTS"] = former["WEIGHTS"]
    return named


def _save(state: Mapping[str, Any], temporary: Path) -> None:
    with temporary.open("wb") as stream:  # if it is given a path, torch.save does not say why it cannot write
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
        os.link(folder.newest, previous)  # a second name, so that checkpoint.pt exists at any moment
    except OSError:  # a file system without hard links
        folder.newest.replace(previous)
