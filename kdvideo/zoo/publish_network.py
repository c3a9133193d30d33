"""Publishes a network in memory, which no run of kdvideo has trained."""

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.network import describe_network
from kdvideo.zoo.publish import publish

__all__ = ["publish_network"]


def publish_network(
    model: nn.Module,
    name: str,
    *,
    zoo: Zoo,
    licence: str,
    backbone: str = "",
    classes: Sequence[str] = (),
    dataset: str = "not said",
    replace: bool = False,
) -> ZooEntry:
    """Writes a network's weights and its entry.

    Args:
        model: see `kdvideo.zoo.network.describe_network`.
        name: the name of the entry.
        zoo: the zoo to publish into.
        licence: the licence of the weights.
        backbone: see `kdvideo.zoo.network.describe_network`.
        classes: the names of a classifier's outputs. Defaults to its `class_names`.
        dataset: what the network was trained on, in words.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: see `describe_network` and `kdvideo.zoo.publish.publish`; or a classifier has no names of classes.
    """
    check_name(name)
    spec = describe_network(model, backbone=backbone)
    names = list(classes or getattr(model, "class_names", ()))
    if isinstance(model, ClassificationModel) and not names:
        raise ValueError(
            f"a classifier of {model.num_classes} classes without names could answer by numbers only: give `classes`, "
            "in the order of its outputs"
        )
    if names and not isinstance(model, ClassificationModel):
        raise ValueError(f"`classes` are given, but a {type(model).__name__} has no classifier: leave them out")
    facts = Facts(
        metrics={},
        protocol="not measured",
        teacher=None,
        dataset=dataset,
        config=f"PUBLISHED_FROM_MEMORY: {_hash_tensors(model)}\n",  # tells other weights of this name apart
        source="published from memory",
        licence=licence,
        classes=names,
    )
    return publish(model, name, zoo=zoo, spec=spec, facts=facts, replace=replace)  # type: ignore[arg-type]


def _hash_tensors(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, tensor in model.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
