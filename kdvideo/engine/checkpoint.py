"""Checkpoints of a run: all that is needed to go on as if nothing had happened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kdvideo.files import write_atomic

__all__ = ["CHECKPOINT_NAME", "load_checkpoint", "save_checkpoint"]

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(output_dir: Path, state: Mapping[str, Any]) -> None:
    """Replaces the run's checkpoint, whole or not at all."""
    write_atomic(output_dir / CHECKPOINT_NAME, lambda path: torch.save(dict(state), path))


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
