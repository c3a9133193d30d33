"""Layouts of other projects' checkpoints: how one of them names the tensors of one network."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.formats.wrapping import Shape

__all__ = ["Layout", "find_head"]

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
        rename: maps a key without the prefix to the key of kdvideo's backbone, or to None if it has no such tensor. It
            gives several keys if the tensor is theirs, one below the other.
        signature: keys without the prefix and their shapes (None: absent) that no other layout has together.
        clip_specs: names of the input conventions that such weights are published for.
        heads: maps the prefix of a head's keys to kdvideo's (`head.`, `pretext_head.`, `projection_head.`).
        unused: maps the prefix of keys without a use to the reason.
        backbone_kwargs: the arguments of the backbone's builder besides `clip_spec`.
    """

    name: str
    project: str
    backbone: str
    prefix: str
    rename: Callable[[str], str | tuple[str, ...] | None]
    signature: Mapping[str, Shape | None]
    clip_specs: Sequence[str]
    heads: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    backbone_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def translate(self, key: str) -> tuple[str, ...]:
        """Returns kdvideo's name for a key, several names if the tensor is theirs one below the other, or ()."""
        for theirs, ours in self.heads.items():
            if key.startswith(theirs):
                return (ours + key.removeprefix(theirs),)
        inner = self.rename(key.removeprefix(self.prefix)) if key.startswith(self.prefix) else None
        names = (inner,) if isinstance(inner, str) else inner or ()
        return tuple(f"backbone.{name}" for name in names)

    def why_unused(self, key: str) -> str | None:
        """Returns the reason to drop a key, or None."""
        return next((why for prefix, why in self.unused.items() if key.startswith(prefix)), None)

    def spec(self, tensors: Mapping[str, Tensor], clip_spec: ClipSpec) -> ModelSpec:
        """Returns the network that takes all these tensors. It may have PCL's heads or a classifier."""
        head, head_kwargs = find_head({key: tuple(tensor.shape) for key, tensor in tensors.items()})
        return ModelSpec(self.backbone, dict(self.backbone_kwargs), clip_spec, head=head, head_kwargs=head_kwargs)


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
