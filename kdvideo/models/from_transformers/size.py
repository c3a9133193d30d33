"""How large a network of the library would be, asked before anything of it takes memory or time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from kdvideo.models.frames import as_pair
from kdvideo.models.from_transformers.family import Family

__all__ = ["check_numbers", "check_size", "count_values"]

_MOST_LAYERS = 512  # a layer too many takes time, even where it takes no memory
_MOST = 1 << 22  # of any other number: vocabularies have some hundred thousand words
_MOST_POSITIONS = 1 << 26  # values of a table of position encodings, which some networks compute when they are built
_MOST_PARAMETERS = 1 << 35  # far above any network that is known here


def check_numbers(values: Any, name: str = "config") -> None:
    """Checks the whole numbers of a config in JSON, at any depth.

    Raises:
        ValueError: one is larger than any network has.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            check_numbers(value, str(key))
    elif isinstance(values, list):
        for value in values:
            check_numbers(value, name)
    elif type(values) is int:
        most = _MOST_LAYERS if "layers" in name or "depth" in name else _MOST
        if values > most:
            raise ValueError(f"the config has {name} {values}; no network has more than {most}")


def count_values(files: Sequence[Path]) -> int:
    """Returns how many numbers the tensors of safetensors files have. Only the headers are read.

    Raises:
        SafetensorError: a file is damaged.
    """
    count = 0
    for path in files:
        with safe_open(path, framework="pt") as file:
            count += sum(torch.Size(file.get_slice(key).get_shape()).numel() for key in file.keys())  # noqa: SIM118
    return count


def check_size(
    kind: Any, family: Family, config: Any, *, arguments: Mapping[str, Any], most: int | None = None
) -> None:
    """Checks how large a network is, by building it without memory.

    Args:
        kind: the library's class.
        family: its family.
        config: the library's config object.
        arguments: other arguments of the class.
        most: how many parameters it may have. Defaults to more than any known network has.

    Raises:
        ValueError: it has more, or too many positions.
    """
    vision = getattr(config, "vision_config", config)
    patch = getattr(vision, "patch_size", None) or getattr(vision, "tubelet_size", (1, 1))[-2:]
    height, width = as_pair(patch)
    frames = 1 if family.sees == "frames" else family.clip_len(config)
    positions = frames * (family.size(config) // max(height, 1)) * (family.size(config) // max(width, 1))
    if positions * getattr(vision, "hidden_size", 1) > _MOST_POSITIONS:
        raise ValueError(f"the config has clips of {positions} positions, more than any known network: check its sizes")
    with torch.device("meta"):
        net: nn.Module = kind(config, **arguments)
    number = sum(parameter.numel() for parameter in net.parameters())
    if number > (limit := _MOST_PARAMETERS if most is None else most):
        raise ValueError(f"the config makes a {kind.__name__} of {number} parameters, the weights have {limit} at most")
