"""Filling a model with a file's tensors, strictly, with a report on each one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo.contents import Contents
from kdvideo.zoo.formats.own import strip
from kdvideo.zoo.place import placed

__all__ = ["LoadReport", "complete_names", "fill"]

_BACKBONE, _CLASSIFIER = "backbone.", "head."


@dataclass(frozen=True)
class LoadReport:
    """The result for every tensor.

    Attributes:
        source: where the weights came from.
        used: the tensors that were loaded.
        dropped: the file's tensors that the model did not take, each with the reason.
        new: the model's tensors that the file lacks, left as they were. They belong to heads only.
        renamed: maps the model's name of a tensor to the file's, if another project wrote it.
        missing: backbone tensors that the file lacks. Always empty, since they raise.
        prefix: what stands in the file before the names of the network's tensors, e.g. "model.net.".
        under: the key of the checkpoint that holds the state dict, e.g. "state_dict".
    """

    source: str
    used: tuple[str, ...]
    dropped: Mapping[str, str]
    new: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    prefix: str = ""
    under: str = ""

    def __str__(self) -> str:
        where = [f"under {self.under}"] * bool(self.under) + [f"prefix {self.prefix}"] * bool(self.prefix)
        place = f" ({', '.join(where)})" if where else ""
        why = "; ".join(sorted(set(self.dropped.values())))
        dropped = f"{len(self.dropped)} dropped" + (f" ({why})" if why else "")
        new = f"{len(self.new)} new" + (f" and not trained: {', '.join(self.new)}" if self.new else "")
        return f"{self.source}{place}: {len(self.used)} tensors used, {dropped}, {new}"


def complete_names(names: Sequence[str], model: ClassificationModel) -> Sequence[str]:
    """Returns the class names if there is one per output, else none."""
    return tuple(names) if len(set(names)) == len(names) == model.num_classes else ()


def fill(model: nn.Module, contents: Contents) -> LoadReport:
    """Loads the tensors that fit into a model.

    If model and file name their classes, the classifier's rows are matched by name.

    Args:
        model: a backbone, or a model with an attribute `backbone`.
        contents: what the file holds.

    Raises:
        ValueError: a backbone tensor is missing, unknown or of another shape. The model is unchanged then.
    """
    own = model.state_dict()
    is_backbone = not any(key.startswith(_BACKBONE) for key in own)
    cut = len(_BACKBONE) if is_backbone else 0
    contents = placed(contents, own if is_backbone else strip(own, _BACKBONE))
    tensors, other_classes = _sort_classes(model, contents)
    given = {key[cut:] if key.startswith(_BACKBONE) else key: value for key, value in tensors.items()}
    _check_backbone(own, given, contents, cut=cut)
    dropped = {key: "the model has no such part" for key in given if key not in own}
    for key in [key for key in own if key in given]:
        given_shape, own_shape = tuple(given[key].shape), tuple(own[key].shape)
        is_classifier = not is_backbone and key.startswith(_CLASSIFIER)
        if is_classifier and other_classes:
            dropped[key] = other_classes
        elif given_shape == own_shape:
            continue
        elif is_classifier and len(given_shape) == len(own_shape):
            dropped[key] = f"a classifier of {given_shape[0]} classes, the model's has {own_shape[0]}"
        else:
            raise ValueError(
                f"weights {contents.source}: {key} has shape {given_shape}, the model's {own_shape}: "
                f"another {'architecture or width' if is_backbone or key.startswith(_BACKBONE) else 'head'}"
            )
    used = [key for key in own if key in given and key not in dropped]
    model.load_state_dict({key: given[key] for key in used}, strict=False)
    prefix = _BACKBONE if is_backbone else ""
    return LoadReport(
        source=contents.source,
        used=tuple(used),
        dropped={**contents.dropped, **{contents.renamed.get(key, key): why for key, why in dropped.items()}},
        new=tuple(key for key in own if key not in used),
        renamed={key: contents.renamed[prefix + key] for key in used if prefix + key in contents.renamed},
        prefix=contents.prefix,
        under=contents.under,
    )


def _check_backbone(own: Mapping[str, Tensor], given: Mapping[str, Tensor], contents: Contents, *, cut: int) -> None:
    """Refuses a file whose backbone has fewer or more tensors. `cut` is the length of the prefix that `own` lacks."""
    missing = [key for key in own if key not in given and (cut or key.startswith(_BACKBONE))]
    if missing:
        raise ValueError(
            f"weights {contents.source} lack {len(missing)} tensors of the backbone, the first {missing[0]}"
        )
    unknown = [key for key in contents.tensors if key.startswith(_BACKBONE) and key[cut:] not in own]
    if unknown:
        theirs = contents.renamed.get(unknown[0], unknown[0])
        raise ValueError(
            f"weights {contents.source} have {theirs}, which the model's backbone does not have: another architecture"
        )


def _sort_classes(model: nn.Module, contents: Contents) -> tuple[Mapping[str, Tensor], str | None]:
    """Sorts the classifier's rows as the model's classes. Also returns why its classifier cannot be used, or None."""
    bias = contents.tensors.get("head.bias")
    theirs = list(contents.classes) if bias is None or len(bias) == len(contents.classes) else []
    ours = list(model.class_names) if isinstance(model, ClassificationModel) else []
    if not ours or not theirs or ours == theirs:
        return contents.tensors, None
    if sorted(ours) != sorted(theirs):
        return contents.tensors, f"a classifier of {theirs[0]}, .., the model's is of {ours[0]}, .."
    if not isinstance(model.head, nn.Linear):
        return contents.tensors, "a classifier whose classes are in another order, and not a linear layer"
    rows = [theirs.index(name) for name in ours]
    sort = {key: value[rows] for key, value in contents.tensors.items() if key.startswith(_CLASSIFIER)}
    return {**contents.tensors, **sort}, None
