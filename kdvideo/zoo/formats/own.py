"""Bare state dicts of kdvideo's own models, as `torch.save(model.state_dict(), file)` writes them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import build_backbone, takes_option
from kdvideo.models.spec import ModelSpec
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.registry import BACKBONES
from kdvideo.zoo.formats.layout import find_head
from kdvideo.zoo.formats.wrapping import Shape, find_prefixes, plain_names

__all__ = ["BACKBONE_PREFIX", "OWN_CLIP_SPECS", "OwnNetwork", "find_networks", "model_prefix", "strip"]

T = TypeVar("T")
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
        prefix: what stands before the names of the backbone's tensors.
    """

    backbone: str
    backbone_kwargs: dict[str, Any]
    head: str
    head_kwargs: dict[str, Any]
    prefix: str = ""

    def __str__(self) -> str:
        has_other_prefix = self.prefix not in ("", BACKBONE_PREFIX)
        return f"{self.backbone} under {self.prefix}" if has_other_prefix else self.backbone

    def spec(self, clip_spec: ClipSpec) -> ModelSpec:
        """Returns the description of the model, once the input convention is known."""
        return ModelSpec(self.backbone, self.backbone_kwargs, clip_spec, self.head, self.head_kwargs)


def find_networks(shapes: Mapping[str, Shape], *, names: Collection[str] = ()) -> list[OwnNetwork]:
    """Finds the registered networks whose tensors a state dict has, exactly these, under whatever prefix.

    Several fit if networks differ in their clips alone, as X3D-XS, S and M do, or if the file has two networks.

    Args:
        shapes: the shapes of the state dict's tensors by name.
        names: the backbones that are tried. Defaults to all listed ones, which takes a second the first time.
    """
    names = names or BACKBONES.names()
    plain = {name: shapes[key] for name, key in plain_names(shapes).items()}
    return _find_networks(shapes, names) or (_find_networks(plain, names) if plain != shapes else [])


def _find_networks(shapes: Mapping[str, Shape], names: Collection[str]) -> list[OwnNetwork]:
    found: list[OwnNetwork] = []
    for name, kwargs in _candidates(shapes, names):
        wanted = _backbone_shapes(name, BACKBONES.get(name), tuple(kwargs.items())) or {}
        for prefix in find_prefixes(shapes, wanted):
            if wanted == strip(shapes, prefix):
                head, head_kwargs = find_head(strip(shapes, model_prefix(prefix)))
                found.append(OwnNetwork(name, kwargs, head, head_kwargs, prefix))
    return found


def model_prefix(prefix: str) -> str | None:
    """Returns what stands before the names of a model with a head. None if there is a backbone alone.

    Args:
        prefix: what stands before the names of its backbone.
    """
    is_part = prefix == BACKBONE_PREFIX or prefix.endswith(f".{BACKBONE_PREFIX}")
    return prefix.removesuffix(BACKBONE_PREFIX) if is_part else None


def strip(values: Mapping[str, T], prefix: str | None) -> dict[str, T]:
    """Returns what is under a prefix, without it. {} for None."""
    if prefix is None:
        return {}
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}


def _candidates(shapes: Mapping[str, Shape], names: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields names and arguments to try. A width is the number of channels of one of the first convolutions."""
    widths = {shape[0] for key, shape in shapes.items() if ".blocks.0." in f".{key}" and len(shape) == 5}
    for name in names:
        if takes_option(name, "width"):
            yield from ((name, {"width": width}) for width in sorted(widths))
        else:
            yield name, {}


@lru_cache(maxsize=64)  # the builder is part of the key: a name may be registered again
def _backbone_shapes(
    name: str, builder: Callable[..., Any], kwargs: tuple[tuple[str, Any], ...]
) -> dict[str, Shape] | None:
    """Returns the shapes of a backbone's state dict. None if it cannot be built, as without a library."""
    try:
        with torch.device("meta"), Uninitialised():  # shapes without numbers
            state = build_backbone(name, **dict(kwargs)).state_dict()
    except Exception:  # anybody may register a builder; most likely it builds another network
        return None
    return {key: tuple(value.shape) for key, value in state.items()}
