"""Checkpoints of a run: all that is needed to go on as if nothing had happened."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from fvcore.common.config import CfgNode

from kdvideo.config import flatten_config
from kdvideo.files import write_atomic

__all__ = ["BEST_NAME", "CHECKPOINT_NAME", "check_same_run", "load_checkpoint", "save_checkpoint", "save_state"]

CHECKPOINT_NAME = "checkpoint.pt"
BEST_NAME = "best.pt"  # the student of the best epoch, where a run chooses one
_FREE_ON_RESUME = (
    *("OUTPUT_DIR", "DATA.ROOT", "DATA.LIST_DIR", "DATA.MANIFEST", "DATA.NUM_WORKERS", "EVAL.", "ZOO."),
    "SOLVER.CHECKPOINT_PERIOD",
)


def save_checkpoint(output_dir: Path, state: Mapping[str, Any]) -> None:
    """Replaces the run's checkpoint, whole or not at all."""
    save_state(output_dir / CHECKPOINT_NAME, state)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces one file of tensors, whole or not at all."""
    try:
        write_atomic(path, lambda temporary: torch.save(dict(state), temporary))
    except RuntimeError as error:  # what torch's zip writer makes of a full disk
        raise OSError(errno.EIO, f"{path.name} cannot be written, the one before is kept: {error}", str(path)) from None


def load_checkpoint(output_dir: Path) -> dict[str, Any]:
    """Reads the run's checkpoint.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    path = output_dir / CHECKPOINT_NAME
    if not path.is_file():
        raise ValueError(f"--resume: {path} does not exist; start the run without --resume")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what pickle, zipfile or the tensors raise
        raise ValueError(f"--resume: {path} cannot be read ({type(error).__name__}: {error})") from None


def check_same_run(cfg: CfgNode, checkpoint: Mapping[str, Any]) -> None:
    """Whether a config goes on with the run that the checkpoint is of.

    Places, workers, evaluation and publishing may change, and the number of epochs at a constant rate.

    Raises:
        ValueError: names the first key that differs.
    """
    before = flatten_config(yaml.safe_load(checkpoint["config"]))
    for key, value in flatten_config(cfg).items():
        free = key.startswith(_FREE_ON_RESUME) or (key == "SOLVER.EPOCHS" and cfg.SOLVER.SCHEDULE == "constant")
        if value != before.get(key) and not free:
            raise ValueError(f"--resume: {key} is {value!r}, the run was started with {before.get(key)!r}: keep it")
