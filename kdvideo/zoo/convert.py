"""Converting other projects' checkpoints into entries of a zoo."""

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.entry import Facts, ZooEntry, check_name
from kdvideo.zoo.folder import Zoo, accept_zoo_dir
from kdvideo.zoo.load import build_filled
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import resolve_weights

__all__ = ["convert_weights"]


@accept_zoo_dir
def convert_weights(
    source: str,
    name: str,
    *,
    zoo: Zoo,
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
        clip_spec: the input convention of a bare file, whose keys cannot tell it.
        licence: the licence of the weights. Defaults to the entry's, or the one that comes with the weights.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: the layout is unknown, the name is taken, or neither entry nor file says the input convention or
            the licence.
    """
    check_name(name)
    weights = resolve_weights(source, zoo=zoo)
    entry = weights.entry
    if not (licence or entry or weights.licence):
        raise ValueError(f"{source} has no entry that says its licence: give `licence`")
    contents = read_contents(weights, clip_spec)
    spec = contents.spec_with(clip_spec)
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
