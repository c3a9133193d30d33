"""Recognising the layout of a state dict under any prefix, and giving its tensors kdvideo's names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdvideo.zoo.formats.layout import Layout
from kdvideo.zoo.formats.wrapping import COPY, Shape, State, places_of, plain_names, prefix_in_file, without_copies
from kdvideo.zoo.unpickle import Placeholder

__all__ = ["Converted", "Match", "convert", "recognise", "why_beside"]


@dataclass(frozen=True)
class Match:
    """Where a state dict has a network, and in which layout.

    Attributes:
        layout: the layout. It has no prefix of its own if the file lacks that.
        outer: what stands before all names of the layout.
    """

    layout: Layout
    outer: str = ""

    def __str__(self) -> str:
        return f"{self.layout.name} under {self.outer}" if self.outer else self.layout.name


@dataclass(frozen=True)
class Converted:
    """A checkpoint's tensors under kdvideo's names.

    Attributes:
        tensors: the tensors by kdvideo's names.
        renamed: maps kdvideo's name of a tensor to the file's.
        dropped: maps the file's name of a tensor to the reason why it is left out.
        prefix: what stands in the file before the names that the layout has for the network.
    """

    tensors: dict[str, Tensor]
    renamed: dict[str, str]
    dropped: dict[str, str]
    prefix: str = ""


def recognise(state: State, layouts: Sequence[Layout]) -> Match | None:
    """Finds the one layout that a state dict has, under whatever prefix, or None.

    Raises:
        ValueError: it has several, or one under several prefixes, as a file with two networks.
    """
    shapes = {plain: _shape(state[name]) for plain, name in plain_names(state).items()}
    found: dict[str, list[Layout]] = {}
    for layout in layouts:
        for place in _places(shapes, layout):
            found.setdefault(place, []).append(layout)
    matching = [match for place in without_copies(found) for match in _closest(place, found[place])]
    if len(matching) > 1:
        named = ", ".join(map(str, matching))
        raise ValueError(f"one state dict with the keys of several: {named}; save the one that you want alone")
    return matching[0] if matching else None


def _places(shapes: Mapping[str, Shape | None], layout: Layout) -> list[str]:
    """Returns what stands before the keys of the layout's signature, wherever the state dict has it."""
    has = {key: shape for key, shape in layout.signature.items() if shape is not None}
    lacks = layout.signature.keys() - has.keys()
    return [
        place
        for place in places_of(shapes, has)
        if all(shapes[place + key] == shape for key, shape in has.items())
        and not any(place + key in shapes for key in lacks)
        and not _is_own(shapes, layout, place)
    ]


def _is_own(shapes: Mapping[str, Shape | None], layout: Layout, place: str) -> bool:
    """Returns whether the keys are those of a model of kdvideo's, whose backbone has the names of the layout."""
    if f".{place}".endswith(f".{layout.prefix}") and layout.prefix:
        return False
    is_part = f".{place}".endswith(".backbone.") and all(layout.rename(key) == key for key in layout.signature)
    return is_part and not any(name.startswith(place + head) for name in shapes for head in layout.heads)


def _closest(place: str, layouts: Collection[Layout]) -> list[Match]:
    """Returns for each network the layout whose prefix explains most of what stands before its keys."""
    matches: dict[tuple[str, str], Match] = {}
    for layout in sorted(layouts, key=lambda layout: len(layout.prefix)):
        network = (layout.backbone, str(layout.backbone_kwargs))
        outer = place.removesuffix(layout.prefix)
        if place.endswith(layout.prefix) and (not outer or outer.endswith(".")):
            matches[network] = Match(layout, outer)
        else:  # the network alone, without the model that this project puts around it
            matches.setdefault(network, Match(replace(layout, prefix="", heads={}, unused={}), place))
    return list(matches.values())


def _shape(value: object) -> Shape | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def why_beside(name: str, prefix: str) -> str:
    """Returns the reason to leave out a tensor that stands beside the network."""
    return COPY if "encoder_k" in name.split(".") else f"no part of the network, whose names begin with {prefix}"


def convert(state: State, match: Match, *, origin: str) -> Converted:
    """Renames the tensors that a network here can use. Says why others are dropped.

    Raises:
        ValueError: the layout does not know a key, or a value is no tensor.
    """
    layout, outer = match.layout, match.outer
    tensors: dict[str, Tensor] = {}
    renamed: dict[str, str] = {}
    dropped: dict[str, str] = {}
    names = plain_names(state)
    prefix = prefix_in_file(names, outer + layout.prefix)
    for plain, key in names.items():
        value, inner = state[key], plain.removeprefix(outer)
        is_inside = plain.startswith(outer)
        ours = layout.translate(inner) if is_inside else ()
        why = layout.why_unused(inner) if is_inside and not ours else None
        if not ours and why is None:
            if key.startswith(prefix):
                raise ValueError(f"{origin} looks like {layout.name} but has {key}, which that network does not have")
            why = why_beside(key, prefix)
        if not ours:
            dropped[key] = why or ""
            continue
        if not isinstance(value, Tensor):
            kind = value.name if isinstance(value, Placeholder) else type(value).__name__
            raise ValueError(f"{origin}: {key} is a {kind}, not a tensor")
        tensors.update(zip(ours, _parts(value, ours), strict=True))
        renamed.update(dict.fromkeys(ours, key))
    # Like torch itself, for files from before version 0.4.1.
    for key in [key for key in tensors if key.endswith(".running_mean")]:
        tensors.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return Converted(tensors, renamed, dropped, "" if prefix == layout.prefix else prefix)


def _parts(value: Tensor, names: Collection[str]) -> Sequence[Tensor]:
    """Returns the tensors of several names out of the one in the file. A classifier of 1 x 1 x 1 is a linear one."""
    if len(names) > 1:
        return value.chunk(len(names))
    return [value.flatten(1) if "head.weight" in names and value.dim() > 2 else value]
