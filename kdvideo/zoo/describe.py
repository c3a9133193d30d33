"""What `kdvideo zoo show` says of weights that have no entry, and which feature a model gives."""

from collections.abc import Sequence
from typing import Any

from kdvideo.models.spec import ModelSpec, backbone_of
from kdvideo.registry import BACKBONES
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.entry import Teacher
from kdvideo.zoo.licences import commerce_warning
from kdvideo.zoo.sources import resolve_weights

__all__ = ["describe_feature", "describe_source", "describe_terms"]


def describe_feature(spec: ModelSpec) -> str:
    """Returns in words what the feature of a model is.

    A builder of BACKBONES whose feature depends on its arguments has a function `describe_feature` for it.
    """
    if spec.backbone not in BACKBONES:
        return "not known: the backbone is not registered here"
    own = getattr(BACKBONES.get(spec.backbone), "describe_feature", None)
    return own(**spec.backbone_kwargs) if own else "the mean of its map, or what its own library's classifier sees"


def describe_terms(licence: str, teachers: Sequence[Teacher] = ()) -> dict[str, str]:
    """Returns a warning if the licence of a model or of a teacher forbids commercial use, else nothing."""
    warning = commerce_warning(licence, teachers)
    return {"warning": warning} if warning else {}


def describe_source(source: str) -> dict[str, Any]:
    """Returns what is known of a repository, folder or file of weights. It is fetched.

    Raises:
        ValueError: nothing is there, or its model is not known.
    """
    weights = resolve_weights(source)
    contents = read_contents(weights)
    spec = contents.spec_with(None)
    backbone = backbone_of(spec.build())
    return {
        "name": weights.name,
        "model": spec.to_dict(),
        "feature": f"{describe_feature(spec)}; {backbone.num_features} numbers",
        "takes_any_clip": backbone.takes_any_clip,
        "params": sum(parameter.numel() for parameter in backbone.parameters()),
        "sha256": weights.sha256,
        "licence": weights.licence or "none stated",
        **describe_terms(weights.licence),
        "path": str(weights.path),
        "classes": list(contents.classes),
        "not_used": sorted(contents.dropped),
    }
