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
    LAYOUTS,
    OWN_CLIP_SPECS,
    Converted,
    FoundState,
    Layout,
    Match,
    OwnNetwork,
    convert,
    find_networks,
    find_state,
    recognise,
)
from kdvideo.zoo.formats.wrapping import COPY
from kdvideo.zoo.model_folder import read_model_folder
from kdvideo.zoo.names_of_sources import TimmModel, parse_source
from kdvideo.zoo.sources import Weights
from kdvideo.zoo.timm_file import read_timm
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
        is_bare: whether it is a state dict of a network of kdvideo's or the user's own. Its tensors then have the names
            of the file, and `placed` gives them kdvideo's.
        prefix: what stands in the file before the names of the network's tensors.
        under: the key of the checkpoint that holds its state dict, or "".
    """

    source: str
    tensors: Mapping[str, Tensor]
    spec: ModelSpec | None = None
    classes: Sequence[str] = ()
    layout: Layout | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    is_bare: bool = False
    prefix: str = ""
    under: str = ""

    @cached_property
    def networks(self) -> Sequence[OwnNetwork]:
        """The registered networks with exactly these tensors."""
        return find_networks(_shapes(self.tensors))

    def spec_with(self, clip_spec: ClipSpec | None) -> ModelSpec:
        """Returns how the model is built.

        Args:
            clip_spec: the input convention for a bare file, whose keys cannot tell it.

        Raises:
            ValueError: the file needs a convention and none is given, or it has its own.
        """
        if self.spec is not None:
            if clip_spec is not None and clip_spec != self.spec.clip_spec:  # of a folder it is what was given
                raise ValueError(f"weights {self.source} have an input convention of their own: give none")
            return self.spec
        if self.layout is None and len(self.networks) != 1:
            raise self._unknown_network()
        if clip_spec is None:
            raise self.lacks_convention()
        return self.networks[0].spec(clip_spec) if self.layout is None else self.layout.spec(self.tensors, clip_spec)

    def _unknown_network(self) -> ValueError:
        """Returns the error for a state dict of which nothing says which network it is for."""
        fitting = ", ".join(map(str, self.networks)) or "no backbone that is registered here"
        if len({network.prefix for network in self.networks}) > 1:
            return ValueError(
                f"weights {self.source} have several networks, {fitting}: save the one that you want alone"
            )
        strange = "" if self.networks or not self.is_strange else f"; {self.describe_strange()}"
        return ValueError(
            f"weights {self.source} do not say which network they are for, their tensors fit {fitting}: use a zoo "
            "name, or a checkpoint or .safetensors file that a run has written; `import` FILE.py "
            f"that has it where the backbone is your own{strange}"
        )

    @property
    def is_strange(self) -> bool:
        """Returns whether nothing in it looks like a model of kdvideo's, or of a layout that is known."""
        return self.is_bare and not any("backbone" in key.split(".") for key in self.tensors)

    def describe_strange(self) -> str:
        """Returns what the file is not, and how its names begin."""
        known = ", ".join(other.name for other in LAYOUTS)
        return (
            f"the file is no checkpoint of kdvideo's and of none of the layouts {known}; "
            f"its keys begin with {next(iter(self.tensors))}"
        )

    def lacks_convention(self) -> ValueError:
        """Returns the error for a file without an input convention."""
        what = "are a bare state dict" if self.layout is None else f"have the layout {self.layout.name}"
        allowed = OWN_CLIP_SPECS if self.layout is None else self.layout.clip_specs
        return ValueError(
            f"weights {self.source} {what}, whose keys do not tell mean, std and modality of the input: use their zoo "
            f"entry, or give one of {', '.join(allowed)} as `clip_spec`; `kdvideo zoo convert FILE "
            "--clip-spec NAME` makes an entry"
        )


def read_contents(weights: Weights, clip_spec: ClipSpec | None = None) -> Contents:
    """Reads a weights file of kdvideo or of another project, or a folder of the transformers library.

    Args:
        weights: the file or folder.
        clip_spec: the input convention of a folder without a preprocessor file.

    Raises:
        ValueError: the file cannot be read, has no known layout, or another layout than its entry says.
    """
    try:
        contents = _read(weights, clip_spec)
    except ValueError as error:
        raise ValueError(f"weights {weights.source}: {error}") from None
    if weights.entry is None:
        return contents
    found = "kdvideo" if contents.layout is None else contents.layout.name
    if found != weights.entry.layout:
        raise ValueError(f"weights {weights.source} have the layout {found}, their entry says {weights.entry.layout}")
    return replace(contents, spec=weights.entry.model, classes=weights.entry.class_names or contents.classes)


def _read(weights: Weights, clip_spec: ClipSpec | None) -> Contents:
    if weights.path.is_dir():
        tensors, spec, classes, dropped = read_model_folder(weights.path, clip_spec)
        return Contents(weights.source, tensors, spec, classes, dropped=dropped)
    if weights.entry is None and isinstance(parse_source(weights.source), TimmModel):
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
    return _recognised(FoundState(tensors), weights)


def _read_pickle(weights: Weights) -> Contents:
    checkpoint = read_checkpoint(weights.path)
    student = checkpoint.get("student") if isinstance(checkpoint, dict) else None
    if isinstance(student, dict) and "model" in checkpoint:
        check_archive(weights.path)  # only our own files are sure to have checksums
        spec = ModelSpec.from_dict(checkpoint["model"], origin=str(weights.path))
        return Contents(weights.source, student, spec, _checked_classes(checkpoint.get("classes", []), weights))
    return _recognised(find_state(checkpoint, origin=str(weights.path)), weights)


def _recognised(found: FoundState, weights: Weights) -> Contents:
    """Gives the tensors kdvideo's names, if another project's layout says what they are."""
    match = recognise(found.state, LAYOUTS)
    return _bare(found, weights) if match is None else _converted(found, match, weights)


def _bare(found: FoundState, weights: Weights) -> Contents:
    """Takes a state dict as one of kdvideo's own, or of the user's. Filling a model compares every tensor."""
    wrong = [key for key, value in found.state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(f"{weights.path}: {wrong[0]} is not a tensor")
    return Contents(weights.source, dict(found.state), dropped=found.dropped, is_bare=True, under=found.under)


def _converted(found: FoundState, match: Match, weights: Weights) -> Contents:
    converted = convert(found.state, match, origin=str(weights.path))
    _check_alone(found, match, converted, weights)
    return Contents(
        weights.source,
        converted.tensors,
        layout=match.layout,
        renamed=converted.renamed,
        dropped={**converted.dropped, **found.dropped},
        prefix=converted.prefix,
        under=found.under,
    )


def _check_alone(found: FoundState, match: Match, converted: Converted, weights: Weights) -> None:
    """Refuses a file with a registered network beside that of the layout. Copies of the network are no others."""
    beside = {key: found.state[key] for key, why in converted.dropped.items() if why != COPY}
    tensors = {key: value for key, value in beside.items() if isinstance(value, Tensor)}
    if not converted.prefix or all(value.dim() < 3 for value in tensors.values()):
        return  # nothing is beside, or only vectors and matrices
    if own := find_networks(_shapes(tensors)):
        raise ValueError(f"{weights.path} has several networks, {match} and {own[0]}: save the one that you want alone")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}


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
