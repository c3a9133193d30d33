"""Converting other projects' checkpoints into entries of a zoo."""

from collections.abc import Mapping
from dataclasses import replace as changed
from pathlib import Path

from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel, build_backbone
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES
from kdvideo.zoo.contents import Contents, read_contents
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo, accept_zoo_dir
from kdvideo.zoo.formats import find_networks
from kdvideo.zoo.load import build_filled
from kdvideo.zoo.names_of_sources import source_name
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import resolve_weights

__all__ = ["convert_weights"]

_NO_PART = "the backbone has no such part"


@accept_zoo_dir
def convert_weights(
    source: str | Path,
    name: str,
    *,
    zoo: Zoo,
    backbone: str = "",
    clip_spec: ClipSpec | None = None,
    licence: str | None = None,
    replace: bool = False,
) -> ZooEntry:
    """Publishes another project's checkpoint as safetensors under kdvideo's names.

    What is known of the model comes from its entry, if it has one.

    Args:
        source: a zoo name, a path or an address.
        name: the name of the new entry.
        zoo: the zoo to publish into, which is also searched first for `source`.
        backbone: the registered backbone that a bare state dict is for. Defaults to the one that has its tensors.
        clip_spec: the input convention of a bare file, whose keys cannot tell it. A user's own `backbone` has its own.
        licence: the licence of the weights. Defaults to the entry's, or the one that comes with the weights.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: the layout is unknown, the name is taken, the tensors are not those of `backbone`, or neither entry
            nor file says the input convention or the licence.
    """
    check_name(name)
    weights = resolve_weights(source_name(source), zoo=zoo)
    entry = weights.entry
    if not (licence or entry or weights.licence):
        raise ValueError(f"{source} has no entry that says its licence: give `licence`")
    contents = read_contents(weights, None if backbone else clip_spec)
    if backbone:
        contents = _for_backbone(contents, backbone, clip_spec)
    spec = contents.spec_with(None if backbone else clip_spec)
    model = build_filled(contents, spec)
    origin = f"converted from {weights.name if entry or weights.pinned else weights.path.name}, sha256 {weights.sha256}"
    facts = Facts(
        metrics=entry.metrics if entry else {},
        protocol=entry.protocol if entry else "not measured",
        teacher=entry.teacher if entry else None,
        more_teachers=entry.more_teachers if entry else [],
        dataset=entry.dataset if entry else "not said",
        config=f"CONVERTED_FROM: {weights.sha256}\n",
        source=f"{origin}; {entry.source}" if entry else origin,
        licence=licence or weights.licence,
        classes=list(model.class_names) if isinstance(model, ClassificationModel) else [],
    )
    return publish(model.eval(), name, zoo=zoo, spec=spec, facts=facts, replace=replace)


def _for_backbone(contents: Contents, backbone: str, clip_spec: ClipSpec | None) -> Contents:
    """Takes a bare state dict as that of a backbone, also if a part of the backbone has written it."""
    if contents.spec is not None or contents.layout is not None:
        known = contents.spec.backbone if contents.spec else f"the layout {contents.layout and contents.layout.name}"
        raise ValueError(f"weights {contents.source} say that they are of {known}: leave `backbone` out")
    BACKBONES.get(backbone)  # says which names there are
    if clip_spec is None and BACKBONES.own_module(backbone):
        clip_spec = build_backbone(backbone).clip_spec
    if clip_spec is None:
        raise contents.lacks_convention()
    shapes = {key: tuple(value.shape) for key, value in contents.tensors.items()}
    if found := find_networks(shapes, names=[backbone]):
        return changed(contents, spec=found[0].spec(clip_spec))
    spec = ModelSpec(backbone, {}, clip_spec)
    return changed(_lifted(contents, spec.build().state_dict()), spec=spec)


def _lifted(contents: Contents, wanted: Mapping[str, Tensor]) -> Contents:
    """Puts the prefix before the names of a file without one that all tensors of a network have, as `net.`.

    What the network does not have, such as a classifier, is dropped then.
    """
    parts = next(iter(wanted)).split(".")
    for depth in range(1, len(parts)):
        prefix = ".".join(parts[:depth]) + "."
        if all(name.startswith(prefix) and name.removeprefix(prefix) in contents.tensors for name in wanted):
            return changed(
                contents,
                tensors={name: contents.tensors[name.removeprefix(prefix)] for name in wanted},
                dropped={
                    **contents.dropped,
                    **{key: _NO_PART for key in contents.tensors if prefix + key not in wanted},
                },
            )
    return contents
