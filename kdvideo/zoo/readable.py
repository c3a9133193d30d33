"""Refuses to publish what could not be read back: the network, its tensors, its classes and its facts."""

from collections.abc import Mapping
from typing import Any

import simplejson
import torch
from torch import Tensor, nn

from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import ModelSpec
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.zoo.entry import Facts

__all__ = ["check_readable"]


def check_readable(model: nn.Module, spec: ModelSpec, facts: Facts) -> None:
    """Checks that an entry gives the model back.

    The spec and the facts are written as JSON and read again, and a network is built from them. It must have the
    model's tensors, each with its shape.

    Args:
        model: the model to publish.
        spec: how the entry says that it is built.
        facts: the other contents of the entry.

    Raises:
        ValueError: names what would be lost.
    """
    again = ModelSpec.from_dict(_as_json(spec.to_dict(), "the spec"), origin="the spec to publish")
    Facts.from_json(simplejson.dumps(_as_json(vars(facts), "the facts")), origin="the facts to publish")
    with torch.random.fork_rng(devices=[]), Uninitialised():
        built = again.build()
    _check_tensors(model.state_dict(), built.state_dict(), what=f"{spec.backbone} with head {spec.head}")
    if isinstance(built, ClassificationModel) and facts.classes:
        _check_classes(facts.classes, built.num_classes)


def _as_json(values: Mapping[str, Any], what: str) -> Any:
    """Returns the values as a reader of the JSON gets them."""
    try:
        return simplejson.loads(simplejson.dumps(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} cannot be stored as JSON: {error}") from None


def _check_tensors(own: Mapping[str, Tensor], built: Mapping[str, Tensor], *, what: str) -> None:
    missing, unknown = sorted(built.keys() - own.keys()), sorted(own.keys() - built.keys())
    if missing or unknown:
        key = (missing or unknown)[0]
        side = "the model lacks" if missing else "only the model has"
        raise ValueError(f"{what}, which the entry would name, is another network: {side} {key}")
    for key, tensor in own.items():
        if tensor.shape != built[key].shape:
            shapes = f"the model's {key} has shape {tuple(tensor.shape)}, its {tuple(built[key].shape)}"
            raise ValueError(f"{what}, which the entry would name, is another network: {shapes}")


def _check_classes(names: list[str], num_classes: int) -> None:
    if len(names) != num_classes:
        raise ValueError(f"`classes` has {len(names)} names, but the classifier has {num_classes} outputs: name each")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`classes` has {twice!r} twice: each output needs a name of its own")
