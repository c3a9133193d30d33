"""Describes a network in memory as an entry does, so that it can be published."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES
from kdvideo.zoo.formats.layout import find_head
from kdvideo.zoo.formats.own import find_networks

__all__ = ["describe_network"]


def describe_network(model: nn.Module, *, backbone: str = "") -> ModelSpec:
    """Returns how a model is built again.

    A model remembers what kdvideo has built it from. For another one it is found by the names and shapes of its
    tensors, among the registered backbones.

    Args:
        model: a backbone, which may be any module with `clip_spec`, a `ClassificationModel` or a `PCLModel`.
        backbone: the name under which BACKBONES has what built the backbone. Defaults to what is found.

    Raises:
        ValueError: no registered backbone, or more than one, has these tensors; or the model does not say its input.
    """
    has_head = isinstance(model, ClassificationModel | PCLModel)
    net = model.backbone if isinstance(model, ClassificationModel | PCLModel) else model
    clip_spec = getattr(net, "clip_spec", None)
    if not isinstance(clip_spec, ClipSpec):
        raise ValueError(
            f"the {type(net).__name__} has no `clip_spec`, its input convention: derive it from "
            "kdvideo.models.Backbone, and register what builds it in kdvideo.registry.BACKBONES"
        )
    name, kwargs = _backbone(net, backbone)
    head, head_kwargs = _head(model) if has_head else ("none", {})
    return ModelSpec(name, kwargs, clip_spec, head, head_kwargs)


def _backbone(net: nn.Module, name: str) -> tuple[str, dict[str, Any]]:
    built_as = _remembered(net)
    if built_as is not None and name in ("", built_as[0]):
        return built_as
    if name:
        BACKBONES.get(name)  # says which names there are
    found = find_networks(_shapes(net), names=[name] if name else ())
    if len(found) == 1:
        return found[0].backbone, found[0].backbone_kwargs
    if name:
        return name, {}
    fitting = ", ".join(map(str, found)) or "no backbone that is registered here"
    raise ValueError(
        f"the tensors of the {type(net).__name__} fit {fitting}: give the name of the one that builds it as "
        "`backbone`; @BACKBONES.register() before its class or function registers it"
    )


def _head(model: nn.Module) -> tuple[str, dict[str, Any]]:
    return _remembered(model) or find_head(_shapes(model))


def _remembered(part: nn.Module) -> tuple[str, dict[str, Any]] | None:
    built_as = getattr(part, "built_as", None)
    return None if built_as is None else (built_as[0], dict(built_as[1]))


def _shapes(module: nn.Module) -> Mapping[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}
