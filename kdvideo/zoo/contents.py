"""Reading weights files: kdvideo's own, and those of other projects under kdvideo's names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import simplejson
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.files import check_archive
from kdvideo.foreign import parse_json
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.formats import (
    BACKBONE_PREFIX,
    LAYOUTS,
    OWN_CLIP_SPECS,
    Layout,
    OwnNetwork,
    convert,
    find_networks,
    find_state,
    recognise,
)
from kdvideo.zoo.formats.layout import State
from kdvideo.zoo.model_folder import read_model_folder
from kdvideo.zoo.sources import Weights
from kdvideo.zoo.timm_file import is_timm, read_timm
from kdvideo.zoo.unpickle import read_checkpoint

__all__ = ["Contents", "describe_contents", "read_contents"]

# Stored in a safetensors header, so that a bare file is enough: how the model is built, and a classifier's class names.
_METADATA_KEY, _CLASSES_KEY = "kdvideo", "kdvideo_classes"


@dataclass(frozen=True)
class Contents:
    """What a weights file holds, under kdvideo's names.

    Attributes:
        source: the requested name, path or URL.
        tensors: the tensors of the backbone, `backbone.*`, and of a head.
        spec: how the model is built. None if neither an entry nor the file says so.
        classes: the classifier's class names in the order of its outputs. Empty if unknown.
        layout: the layout of another project's file, else None.
        renamed: maps kdvideo's name of a tensor to the file's.
        dropped: maps the file's name of a tensor to the reason why it is left out.
    """

    source: str
    tensors: Mapping[str, Tensor]
    spec: ModelSpec | None = None
    classes: Sequence[str] = ()
    layout: Layout | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def networks(self) -> Sequence[OwnNetwork]:
        """The registered networks with exactly these tensors."""
        return find_networks(self.tensors)

    def spec_with(self, clip_spec: ClipSpec | None) -> ModelSpec:
        """Returns how the model is built.

        Args:
            clip_spec: the input convention for a bare file, whose keys cannot tell it.

        Raises:
            ValueError: the file needs a convention and none is given, or it has its own.
        """
        if self.spec is not None:
            if clip_spec is not None:
                raise ValueError(f"weights {self.source} have an input convention of their own: give none")
            return self.spec
        if self.layout is None and len(self.networks) != 1:
            fitting = ", ".join(network.backbone for network in self.networks) or "no backbone that is registered here"
            raise ValueError(
                f"weights {self.source} do not say which network they are for, their tensors fit {fitting}: use a zoo "
                "name, or a checkpoint or .safetensors file that a run has written; `import` FILE.py "
                "that has it where the backbone is your own"
            )
        if clip_spec is None:
            raise self.lacks_convention()
        return self.networks[0].spec(clip_spec) if self.layout is None else self.layout.spec(self.tensors, clip_spec)

    def lacks_convention(self) -> ValueError:
        """Returns the error for a file without an input convention."""
        what = "are a bare state dict" if self.layout is None else f"have the layout {self.layout.name}"
        allowed = OWN_CLIP_SPECS if self.layout is None else self.layout.clip_specs
        return ValueError(
            f"weights {self.source} {what}, whose keys do not tell mean, std and modality of the input: use their zoo "
            f"entry, or give one of {', '.join(allowed)} as `clip_spec`; `kdvideo zoo convert FILE "
            "--clip-spec NAME` makes an entry"
        )


def read_contents(weights: Weights) -> Contents:
    """Reads a weights file of kdvideo or of another project, or a folder of the transformers library.

    Raises:
        ValueError: the file cannot be read, has no known layout, or another layout than its entry says.
    """
    try:
        contents = _read(weights)
    except ValueError as error:
        raise ValueError(f"weights {weights.source}: {error}") from None
    if weights.entry is None:
        return contents
    found = "kdvideo" if contents.layout is None else contents.layout.name
    if found != weights.entry.layout:
        raise ValueError(f"weights {weights.source} have the layout {found}, their entry says {weights.entry.layout}")
    return replace(contents, spec=weights.entry.model, classes=weights.entry.classes or contents.classes)


def _read(weights: Weights) -> Contents:
    if weights.path.is_dir():
        tensors, spec, classes, dropped = read_model_folder(weights.path)
        return Contents(weights.source, tensors, spec, classes, dropped=dropped)
    if weights.entry is None and is_timm(weights.source):
        return Contents(weights.source, *read_timm(weights.source, weights.path))
    return _read_safetensors(weights) if weights.path.suffix == ".safetensors" else _read_pickle(weights)


def describe_contents(spec: ModelSpec, classes: Sequence[str]) -> dict[str, str]:
    """Returns the header for a safetensors file, which `read_contents` reads.

    Args:
        spec: how the model is built.
        classes: the classifier's class names in the order of its outputs.
    """
    named = {_CLASSES_KEY: simplejson.dumps(list(classes))} if classes else {}
    return {_METADATA_KEY: simplejson.dumps(spec.to_dict(), sort_keys=True), **named}


def _read_safetensors(weights: Weights) -> Contents:
    try:
        with safe_open(weights.path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            header = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{weights.path} is no safetensors file ({error})") from None
    if _METADATA_KEY in header:
        spec = ModelSpec.from_dict(_parse(header, _METADATA_KEY, weights), origin=str(weights.path))
        classes = _checked_classes(_parse(header, _CLASSES_KEY, weights) if _CLASSES_KEY in header else [], weights)
        return Contents(weights.source, tensors, spec, classes)
    layout = recognise(tensors, LAYOUTS)
    return _bare(tensors, weights) if layout is None else _converted(tensors, layout, weights)


def _read_pickle(weights: Weights) -> Contents:
    checkpoint = read_checkpoint(weights.path)
    student = checkpoint.get("student") if isinstance(checkpoint, dict) else None
    if isinstance(student, dict) and "model" in checkpoint:
        check_archive(weights.path)  # only our own files are sure to have checksums
        spec = ModelSpec.from_dict(checkpoint["model"], origin=str(weights.path))
        return Contents(weights.source, student, spec, _checked_classes(checkpoint.get("classes", []), weights))
    state = find_state(checkpoint, origin=str(weights.path))
    if (layout := recognise(state, LAYOUTS)) is not None:
        return _converted(state, layout, weights)
    bare = _bare(state, weights)
    if not any(key.startswith(BACKBONE_PREFIX) for key in state) and not bare.networks:
        known = ", ".join(other.name for other in LAYOUTS)
        raise ValueError(
            f"{weights.path} is no checkpoint of kdvideo's and of none of the layouts {known}; "
            f"its keys begin with {next(iter(state))}"
        )
    return bare


def _bare(state: State, weights: Weights) -> Contents:
    """Takes a state dict as one of kdvideo's own. Filling a model compares every tensor."""
    wrong = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(f"{weights.path}: {wrong[0]} is not a tensor")
    whole = any(key.startswith(BACKBONE_PREFIX) for key in state)
    return Contents(weights.source, {key if whole else BACKBONE_PREFIX + key: value for key, value in state.items()})


def _parse(header: Mapping[str, str], key: str, weights: Weights) -> Any:
    try:
        return parse_json(header[key])
    except ValueError as error:
        raise ValueError(f"{weights.path}: {key} in its header is no JSON ({error})") from None


def _checked_classes(names: Any, weights: Weights) -> list[str]:
    """Refuses class names that are no list of texts. Files come from other people."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{weights.path}: its names of classes are {names!r}, they must be a list of texts")
    return names


def _converted(state: State, layout: Layout, weights: Weights) -> Contents:
    converted = convert(state, layout, origin=str(weights.path))
    return Contents(
        weights.source,
        converted.tensors,
        layout=layout,
        renamed=converted.renamed,
        dropped=converted.dropped,
    )
