"""Bare state dicts of kdvideo's own models, as `torch.save(model.state_dict(), file)` writes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import build_backbone, takes_option
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES
from kdvideo.zoo.formats.layout import Shape, find_head

__all__ = ["BACKBONE_PREFIX", "OWN_CLIP_SPECS", "OwnNetwork", "find_networks"]

BACKBONE_PREFIX = "backbone."  # prefix of the backbone's keys, also in a model with a head
OWN_CLIP_SPECS = ("kdvideo-residual", "kdvideo-rgb")  # names of the conventions of the default config


@dataclass(frozen=True)
class OwnNetwork:
    """What a state dict's tensors tell of their model.

    Attributes:
        backbone: a name of BACKBONES.
        backbone_kwargs: see `ModelSpec`.
        head: see `ModelSpec`.
        head_kwargs: see `ModelSpec`.
    """

    backbone: str
    backbone_kwargs: dict[str, Any]
    head: str
    head_kwargs: dict[str, Any]

    def spec(self, clip_spec: ClipSpec) -> ModelSpec:
        """Returns the description of the model, once the input convention is known."""
        return ModelSpec(self.backbone, self.backbone_kwargs, clip_spec, self.head, self.head_kwargs)


def find_networks(state: Mapping[str, Tensor]) -> list[OwnNetwork]:
    """Finds the registered networks with exactly the state dict's tensors `backbone.*`.

    Several fit if networks differ in their clips alone, as X3D-XS, S and M do.
    """
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    cut = len(BACKBONE_PREFIX)
    backbone = {key[cut:]: shape for key, shape in shapes.items() if key.startswith(BACKBONE_PREFIX)}
    head, head_kwargs = find_head(shapes)
    return [
        OwnNetwork(name, kwargs, head, head_kwargs)
        for name, kwargs in _candidates(backbone)
        if _backbone_shapes(name, kwargs) == backbone
    ]


def _candidates(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields names and arguments to try. A width is the number of channels of one of the first convolutions."""
    widths = {shape[0] for key, shape in shapes.items() if key.startswith("blocks.0.") and len(shape) == 5}
    for name in BACKBONES.names():
        if takes_option(name, "width"):
            yield from ((name, {"width": width}) for width in sorted(widths))
        else:
            yield name, {}


def _backbone_shapes(name: str, kwargs: Mapping[str, Any]) -> dict[str, Shape] | None:
    """Returns the shapes of a backbone's state dict. None if it cannot be built, as without a library."""
    try:
        with torch.device("meta"):  # shapes without numbers
            state = build_backbone(name, **kwargs).state_dict()
    except Exception:  # anybody may register a builder; most likely it builds another network
        return None
    return {key: tuple(value.shape) for key, value in state.items()}
