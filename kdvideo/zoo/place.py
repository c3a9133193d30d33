"""Finding a model's own network in a state dict that may have more around it."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from kdvideo.zoo.contents import Contents
from kdvideo.zoo.formats.matching import why_beside
from kdvideo.zoo.formats.own import BACKBONE_PREFIX, model_prefix
from kdvideo.zoo.formats.wrapping import find_prefixes, plain_names, prefix_in_file

__all__ = ["placed"]


def placed(contents: Contents, backbone: Mapping[str, Tensor]) -> Contents:
    """Gives the tensors of a bare state dict, or of a backbone alone, the names that they have in a whole model.

    Args:
        contents: what a file holds. A model with heads has these names already.
        backbone: the state dict of the model's backbone.

    Raises:
        ValueError: the file has that backbone more than once, or nothing of it.
    """
    if not contents.is_bare:
        return _in_a_model(contents)
    wanted = {name: tuple(value.shape) for name, value in backbone.items()}
    as_they_are = {name: name for name in contents.tensors}
    for names in (as_they_are, plain_names(contents.tensors)):
        places = find_prefixes({name: tuple(contents.tensors[key].shape) for name, key in names.items()}, wanted)
        if places:
            break
    else:  # filling says what is missing
        if contents.is_strange and not wanted.keys() & contents.tensors.keys():
            raise ValueError(f"weights {contents.source}: {contents.describe_strange()}")
        is_whole = any(name.startswith(BACKBONE_PREFIX) for name in contents.tensors)
        front = "" if is_whole else BACKBONE_PREFIX
        return replace(contents, tensors={front + name: value for name, value in contents.tensors.items()})
    if len(places) > 1:
        named = ", ".join(place or "no prefix" for place in sorted(places))
        raise ValueError(
            f"weights {contents.source} have this backbone several times, under {named}: "
            "save the one that you want alone"
        )
    return _taken(contents, names, places[0])


def _in_a_model(contents: Contents) -> Contents:
    """Puts the prefix of a backbone before the names of one that was saved alone."""
    alone = contents.spec is not None and contents.spec.head == "none"
    if not alone or any(name.startswith(BACKBONE_PREFIX) for name in contents.tensors):
        return contents
    return replace(contents, tensors={BACKBONE_PREFIX + name: value for name, value in contents.tensors.items()})


def _taken(contents: Contents, names: Mapping[str, str], place: str) -> Contents:
    """Takes the backbone at a place, and its model's heads. Drops what is beside, by name."""
    model = model_prefix(place)
    ours: dict[str, str] = {}
    dropped = dict(contents.dropped)
    for name, key in names.items():
        if name.startswith(place):
            ours[BACKBONE_PREFIX + name.removeprefix(place)] = key
        elif model is not None and name.startswith(model):
            ours[name.removeprefix(model)] = key
        else:
            dropped[key] = why_beside(name, place)
    prefix = prefix_in_file(names, place)
    is_plain = prefix in ("", BACKBONE_PREFIX)
    return replace(
        contents,
        tensors={name: contents.tensors[key] for name, key in ours.items()},
        renamed={} if is_plain else ours,
        dropped=dropped,
        is_bare=False,
        prefix="" if is_plain else prefix,
    )
