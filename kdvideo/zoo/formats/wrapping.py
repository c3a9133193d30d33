"""Where a file has its network: under which key of the checkpoint, and under which beginning of the tensors' names."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kdvideo.zoo.unpickle import Placeholder

__all__ = [
    "COPY",
    "FoundState",
    "Shape",
    "State",
    "find_prefixes",
    "find_state",
    "places_of",
    "plain_names",
    "prefix_in_file",
    "without_copies",
]

Shape = tuple[int, ...]
State = Mapping[str, Any]

COPY = "the momentum copy of the encoder"

# Where people put state dicts. The first that is there is taken: weights that were trained before averaged copies.
_TRAINED = ("state_dict", "model_state", "model", "model_state_dict", "state", "net", "network", "module", "student")
_PARTS = ("encoder", "backbone", "params", "weights")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "target_encoder")
_WRAPPERS = (*_TRAINED, *_PARTS, *_AVERAGED)
_DEEPEST = 3  # such keys within one another
# What DataParallel and torch.compile put into names. No known network has a part that is called so.
_TRANSPARENT = ("module", "_orig_mod")
_COPY_OF = {"encoder_k": "encoder_q"}  # MoCo's; gradients train the second


@dataclass(frozen=True)
class FoundState:
    """A state dict in a checkpoint.

    Attributes:
        state: the state dict.
        under: the keys of the checkpoint that lead to it, joined by dots. "" if it is the checkpoint itself.
        dropped: maps other state dicts of the checkpoint to the reason why they are left out.
    """

    state: State
    under: str = ""
    dropped: Mapping[str, str] = field(default_factory=dict)


def find_state(checkpoint: Any, *, origin: str) -> FoundState:
    """Finds the state dict in what `torch.load` gave.

    Raises:
        ValueError: there is no state dict.
    """
    if isinstance(checkpoint, Placeholder):
        raise ValueError(f"{origin} is a pickled {checkpoint.name}, which is not trusted: save its state_dict()")
    for under, state in _walk(checkpoint, under=()):
        if isinstance(state, Placeholder):
            raise ValueError(f"{origin}: its weights need {state.name}, which is not trusted")
        others = [key for key, value in checkpoint.items() if key not in under and _is_state(value)] if under else []
        why = f"another state dict of the file, {'.'.join(under)} is taken"
        return FoundState(state, ".".join(under), {f"{key}.*": why for key in others})
    raise ValueError(
        f"{origin} is no checkpoint of kdvideo's, and no state dict, neither itself nor under {', '.join(_WRAPPERS)}"
    )


def _walk(value: Any, *, under: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields state dicts and what is not trusted in their place, the innermost first."""
    if isinstance(value, Mapping) and len(under) < _DEEPEST:
        for key in _WRAPPERS:
            if key in value:
                yield from _walk(value[key], under=(*under, key))
    if isinstance(value, Placeholder) or _is_state(value):
        yield under, value


def _is_state(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(item, Tensor) for item in value.values())


def plain_names(names: Collection[str]) -> dict[str, str]:
    """Maps names without what DataParallel and torch.compile put into them to those of the file.

    Names stay as they are if two would become the same.
    """
    plain = {".".join(part for part in name.split(".") if part not in _TRANSPARENT): name for name in names}
    return plain if len(plain) == len(names) and "" not in plain else {name: name for name in names}


def prefix_in_file(names: Mapping[str, str], prefix: str) -> str:
    """Returns a prefix of plain names as the file has it.

    Args:
        names: maps plain names to those of the file, as `plain_names` does.
        prefix: what stands before some of the plain names.
    """
    name = next(name for name in names if name.startswith(prefix))
    inner = name.removeprefix(prefix)
    return names[name].removesuffix(inner) if names[name].endswith(inner) else prefix


def find_prefixes(shapes: Mapping[str, Shape | None], wanted: Mapping[str, Shape]) -> list[str]:
    """Finds the beginnings of names behind which a file has all of a network's tensors.

    Several of them may have the names. Then only those count that have no others, and the right shapes.

    Args:
        shapes: the shapes of the file's tensors by name.
        wanted: the shapes of the network's tensors by name.
    """
    places = without_copies(places_of(shapes, wanted))
    for is_better in (
        lambda place: sum(name.startswith(place) for name in shapes) == len(wanted),
        lambda place: all(shapes[place + name] == shape for name, shape in wanted.items()),
    ):
        places = [place for place in places if is_better(place)] or places
    return places


def places_of(names: Collection[str], wanted: Collection[str]) -> list[str]:
    """Finds the beginnings of names behind which all wanted ones are."""
    if not wanted:
        return []
    longest = max(wanted, key=len)  # few names end so
    places = [name[: -len(longest)] for name in names if name == longest or name.endswith(f".{longest}")]
    return [place for place in places if all(place + name in names for name in wanted)]


def without_copies(places: Iterable[str]) -> list[str]:
    """Leaves out the places of networks that are the moving average of another that is there."""
    found = list(places)
    return [place for place in found if (original := _original(place)) == place or original not in found]


def _original(place: str) -> str:
    return ".".join(_COPY_OF.get(part, part) for part in place.split("."))
