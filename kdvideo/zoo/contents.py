"""What a weights file holds: kdvideo's own files, and those of other projects under kdvideo's names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.files import check_archive
from kdvideo.foreign import parse_json
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.formats import LAYOUTS, Layout, convert, find_state, recognise
from kdvideo.zoo.formats.layout import State
from kdvideo.zoo.sources import Weights
from kdvideo.zoo.unpickle import read_checkpoint

__all__ = ["METADATA_KEY", "Contents", "read_contents"]

METADATA_KEY = "kdvideo"  # in a safetensors header: what to build, so that a bare file is enough


@dataclass(frozen=True)
class Contents:
    """Tensors under kdvideo's names, and what the file tells about their network.

    Attributes:
        source: what was asked for.
        tensors: `backbone.*`, and a head's.
        spec: what to build, where an entry or the file says so.
        layout: of another project's file, else None.
        renamed: kdvideo's name -> the file's.
        dropped: the file's name -> why it is not among the tensors.
    """

    source: str
    tensors: Mapping[str, Tensor]
    spec: ModelSpec | None = None
    layout: Layout | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    def spec_with(self, clip_spec: ClipSpec | None) -> ModelSpec:
        """What to build.

        Args:
            clip_spec: the input convention of another project's bare file, whose keys cannot tell it.

        Raises:
            ValueError: no convention for a file that needs one, or one for a file that has its own.
        """
        if self.spec is not None:
            if clip_spec is not None:
                raise ValueError(f"weights {self.source} have an input convention of their own: give none")
            return self.spec
        if self.layout is None:
            raise ValueError(
                f"weights {self.source} do not say which network they are for: use a zoo name or a file of kdvideo's"
            )
        if clip_spec is None:
            raise ValueError(
                f"weights {self.source} have the layout {self.layout.name}, whose keys do not tell mean, std and "
                f"modality of the input: use their zoo entry, or give one of {', '.join(self.layout.clip_specs)} as "
                "TEACHER.CLIP_SPEC or clip_spec"
            )
        return self.layout.spec(self.tensors, clip_spec)


def read_contents(weights: Weights) -> Contents:
    """Reads a file, of kdvideo's or of another project's.

    Raises:
        ValueError: it cannot be read, is of no known layout, or is not in the layout that its entry names.
    """
    try:
        contents = _read_safetensors(weights) if weights.path.suffix == ".safetensors" else _read_pickle(weights)
    except ValueError as error:
        raise ValueError(f"weights {weights.source}: {error}") from None
    if weights.entry is None:
        return contents
    found = "kdvideo" if contents.layout is None else contents.layout.name
    if found != weights.entry.layout:
        raise ValueError(f"weights {weights.source} have the layout {found}, their entry says {weights.entry.layout}")
    return Contents(**{**vars(contents), "spec": weights.entry.model})


def _read_safetensors(weights: Weights) -> Contents:
    try:
        with safe_open(weights.path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            description = (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise ValueError(f"{weights.path} is no safetensors file ({error})") from None
    if description is not None:
        spec = ModelSpec.from_dict(parse_json(description), origin=str(weights.path))
        return Contents(weights.source, tensors, spec)
    layout = recognise(tensors, LAYOUTS)
    return Contents(weights.source, tensors) if layout is None else _converted(tensors, layout, weights)


def _read_pickle(weights: Weights) -> Contents:
    checkpoint = read_checkpoint(weights.path)
    student = checkpoint.get("student") if isinstance(checkpoint, dict) else None
    if isinstance(student, dict) and "model" in checkpoint:
        check_archive(weights.path)  # only our own are sure to have their checksums
        return Contents(weights.source, student, ModelSpec.from_dict(checkpoint["model"], origin=str(weights.path)))
    state = find_state(checkpoint, origin=str(weights.path))
    layout = recognise(state, LAYOUTS)
    if layout is None:
        known = ", ".join(other.name for other in LAYOUTS)
        raise ValueError(
            f"{weights.path} is no checkpoint of kdvideo's and of none of the layouts {known}; "
            f"its keys begin with {next(iter(state))}"
        )
    return _converted(state, layout, weights)


def _converted(state: State, layout: Layout, weights: Weights) -> Contents:
    converted = convert(state, layout, origin=str(weights.path))
    return Contents(
        weights.source,
        converted.tensors,
        layout=layout,
        renamed=converted.renamed,
        dropped=converted.dropped,
    )
