"""Layouts of other projects' checkpoints, and how their tensors get kdvideo's names."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.unpickle import Placeholder

__all__ = ["Converted", "Layout", "convert", "find_head", "find_state", "recognise"]

Shape = tuple[int, ...]
State = Mapping[str, Any]

_WRAPPERS = ("state_dict", "model_state", "model")  # where the projects of these layouts put their state dict
_DATA_PARALLEL = "module."
_PRETEXT, _PROJECTION = "pretext_head.fc.weight", "projection_head.mlp.2.weight"
_ORDER = "pretext_head.pair_fc.weight"


@dataclass(frozen=True)
class Layout:
    """How one project names the tensors of one network.

    Attributes:
        name: the layout's name, e.g. "pcl-r3d".
        project: the project that writes such files.
        backbone: the same network here, a name of BACKBONES.
        prefix: the beginning of the backbone's keys.
        rename: maps a key without the prefix to the key of kdvideo's backbone, or to None if it has no such tensor.
        signature: keys without the prefix and their shapes (None: absent) that no other layout has together.
        clip_specs: names of the input conventions that such weights are published for.
        heads: maps the prefix of a head's keys to kdvideo's (`head.`, `pretext_head.`, `projection_head.`).
        unused: maps the prefix of keys without a use to the reason.
    """

    name: str
    project: str
    backbone: str
    prefix: str
    rename: Callable[[str], str | None]
    signature: Mapping[str, Shape | None]
    clip_specs: Sequence[str]
    heads: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)

    def matches(self, state: State) -> bool:
        """Returns whether a state dict has the signature."""
        return all(_shape(state.get(self.prefix + key)) == shape for key, shape in self.signature.items())

    def translate(self, key: str) -> str | None:
        """Returns kdvideo's name for a key, or None."""
        for theirs, ours in self.heads.items():
            if key.startswith(theirs):
                return ours + key.removeprefix(theirs)
        inner = self.rename(key.removeprefix(self.prefix)) if key.startswith(self.prefix) else None
        return None if inner is None else f"backbone.{inner}"

    def why_unused(self, key: str) -> str | None:
        """Returns the reason to drop a key, or None."""
        return next((why for prefix, why in self.unused.items() if key.startswith(prefix)), None)

    def spec(self, tensors: Mapping[str, Tensor], clip_spec: ClipSpec) -> ModelSpec:
        """Returns the network that takes all these tensors. It may have PCL's heads or a classifier."""
        head, head_kwargs = find_head({key: tuple(tensor.shape) for key, tensor in tensors.items()})
        return ModelSpec(self.backbone, {}, clip_spec, head=head, head_kwargs=head_kwargs)


def find_head(shapes: Mapping[str, Shape]) -> tuple[str, dict[str, Any]]:
    """Finds the head of the tensors, with its arguments. `ModelSpec` says what both are."""
    if {_PRETEXT, _PROJECTION} <= shapes.keys():
        num_classes, all_features = shapes[_PRETEXT]
        projection_dim, features = shapes[_PROJECTION]
        inputs = all_features // features  # from clips, or from pairs of clips
        kwargs: dict[str, Any] = {"num_pretext_classes": num_classes, "projection_dim": projection_dim}
        if _ORDER not in shapes:
            return "pcl_head", {**kwargs, "tuple_len": inputs}
        tuple_len = (1 + math.isqrt(1 + 8 * inputs)) // 2  # from n(n - 1) / 2 pairs
        return "pcl_head", {**kwargs, "tuple_len": tuple_len, "pretext_head": "order_head"}
    if "head.weight" in shapes:
        return "classification_head", {"num_classes": shapes["head.weight"][0]}
    return "none", {}


@dataclass(frozen=True)
class Converted:
    """A checkpoint's tensors under kdvideo's names.

    Attributes:
        tensors: the tensors by kdvideo's names.
        renamed: maps kdvideo's name of a tensor to the file's.
        dropped: maps the file's name of a tensor to the reason why it is left out.
    """

    tensors: dict[str, Tensor]
    renamed: dict[str, str]
    dropped: dict[str, str]


def find_state(checkpoint: Any, *, origin: str) -> State:
    """Finds the state dict in what `torch.load` gave. DataParallel's `module.` is removed from its keys.

    Raises:
        ValueError: there is no state dict.
    """
    if isinstance(checkpoint, Placeholder):
        raise ValueError(f"{origin} is a pickled {checkpoint.name}, which is not trusted: save its state_dict()")
    inner = [checkpoint[key] for key in _WRAPPERS if key in checkpoint] if isinstance(checkpoint, Mapping) else []
    for state in (*inner, checkpoint):
        if isinstance(state, Placeholder):
            raise ValueError(f"{origin}: its weights need {state.name}, which is not trusted")
        if _is_state(state):
            parallel = all(key.startswith(_DATA_PARALLEL) for key in state)
            return {key.removeprefix(_DATA_PARALLEL): value for key, value in state.items()} if parallel else state
    raise ValueError(
        f"{origin} is no checkpoint of kdvideo's, and no state dict, neither itself nor under {', '.join(_WRAPPERS)}"
    )


def _is_state(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return any(isinstance(item, Tensor) for item in value.values())


def recognise(state: State, layouts: Sequence[Layout]) -> Layout | None:
    """Returns the layout whose signature a state dict has, or None.

    Raises:
        ValueError: it has the signatures of several layouts, as a file with two networks.
    """
    matching = [layout for layout in layouts if layout.matches(state)]
    if len(matching) > 1:
        raise ValueError(f"one state dict with the keys of several: {', '.join(layout.name for layout in matching)}")
    return matching[0] if matching else None


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def convert(state: State, layout: Layout, *, origin: str) -> Converted:
    """Renames the tensors that a network here can use. Says why others are dropped.

    Raises:
        ValueError: the layout does not know a key, or a value is no tensor.
    """
    tensors: dict[str, Tensor] = {}
    renamed: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for key, value in state.items():
        ours = layout.translate(key)
        why = None if ours else layout.why_unused(key)
        if ours is None and why is None:
            raise ValueError(f"{origin} looks like {layout.name} but has {key}, which that network does not have")
        if ours is None:
            dropped[key] = why or ""
        elif not isinstance(value, Tensor):
            kind = value.name if isinstance(value, Placeholder) else type(value).__name__
            raise ValueError(f"{origin}: {key} is a {kind}, not a tensor")
        else:
            tensors[ours], renamed[ours] = value, key
    # Like torch itself, for files from before version 0.4.1.
    for key in [key for key in tensors if key.endswith(".running_mean")]:
        tensors.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return Converted(tensors, renamed, dropped)
