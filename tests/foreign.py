"""Checkpoints in other projects' layouts with the weights that their reference outputs were made with."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def fill(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weights with which the reference outputs were made."""
    draws = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        values = 0.5 + abs(draws)
    elif len(shape) > 1:
        values = draws * (2 / np.prod(shape[1:])) ** 0.5
    else:
        values = (1 if key.endswith("weight") else 0) + 0.1 * draws
    return torch.from_numpy(np.asarray(values, dtype="float32"))


def read_reference(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state dict under the project's own names, and what its network makes of `reference_clip`."""
    reference: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    state = {key: fill(key, tuple(shape)) for key, shape in reference.pop("keys").items()}
    return state, {key: torch.tensor(values) for key, values in reference.items() if key != "source"}


def reference_clip() -> Tensor:
    """Two clips of 16 frames of 112 x 112."""
    return torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 16, 112, 112)).astype("float32"))


def relative_error(value: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest absolute value."""
    return ((value - expected).abs().max() / expected.abs().max()).item()
