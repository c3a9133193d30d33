"""Building the library's networks: from a config alone, as any backbone, and from a folder with weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.from_transformers.families import FAMILIES
from kdvideo.models.from_transformers.family import Family
from kdvideo.models.from_transformers.library import library_class, quiet_library, require_library
from kdvideo.models.from_transformers.size import check_numbers, check_size, count_values
from kdvideo.registry import BACKBONES

__all__ = ["LoadedNetwork", "build_transformers", "describe_feature", "family_of", "load_network", "read_config"]

# What is no part of a network: where it came from, what its classifier's outputs are called, what it is to return, and
# above all what makes the library load code or other files: an implementation of attention may be the name of a
# repository, and transformers_weights names a file that nobody has hashed.
_LEFT_OUT = frozenset(
    [
        "id2label",
        "label2id",
        "num_labels",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "auto_map",
        "transformers_weights",
        "attn_implementation",
        "experts_implementation",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "torchscript",
    ]
)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network of the library with its weights.

    Attributes:
        backbone: the network without its classifier.
        config: its config as JSON, from which `build_transformers` builds it again.
        classifier: the classifier's last layer, or None.
        unused: names of tensors of the checkpoint that no feature needs.
    """

    backbone: Backbone
    config: dict[str, Any]
    classifier: nn.Linear | None
    unused: Sequence[str]


@BACKBONES.register_as("transformers", listed=False)
def build_transformers(*, config: Mapping[str, Any] | None = None, clip_spec: ClipSpec | None = None) -> Backbone:
    """Builds a network of the library with random weights.

    Args:
        config: the library's own config as JSON, as in `config.json`.
        clip_spec: the input convention.

    Raises:
        ValueError: there is no config or clip spec, the model is not known, or takes other clips.
    """
    if config is None or clip_spec is None:
        raise ValueError("backbone 'transformers' is built of a checkpoint's config: give hf:OWNER/REPO or its folder")
    family, parsed = family_of(config), read_config(config)
    kind: Any = library_class(family.network(parsed))
    try:
        check_size(kind, family, parsed, arguments=_arguments(family, parsed))
        net = kind(parsed, **_arguments(family, parsed))
    except Exception as error:  # KeyError of an activation's name, ZeroDivisionError of a size, ...
        raise ValueError(f"the config makes no {kind.__name__}: {_line(error)}") from None
    return _adapted(family, net, parsed, clip_spec)


def describe_feature(*, config: Mapping[str, Any]) -> str:
    """Returns in words which feature is taken of a network with this config."""
    family = family_of(config)
    return f"{family.title}: {family.feature(read_config(config))}"


build_transformers.describe_feature = describe_feature  # type: ignore[attr-defined]


def family_of(config: Mapping[str, Any]) -> Family:
    """Finds the family of a config in JSON.

    Raises:
        ValueError: it is not known. Says which are, and why a model of texts is none of them.
    """
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in FAMILIES:
        return FAMILIES[kind]
    known = ", ".join(FAMILIES)
    if kind in ("siglip2", "siglip2_vision_model"):
        raise ValueError(
            f"model_type {kind!r} is a SigLIP 2 for pictures of any shape (NaFlex), and clips are square: use one of a "
            "fixed size, e.g. hf:google/siglip2-base-patch16-224"
        )
    if kind is None and isinstance(named := config.get("architecture"), str):
        raise ValueError(f"it is a model of timm: give timm:{named}.TAG, with the TAG of its name")
    if "auto_map" in config:
        raise ValueError(f"model_type {kind!r} needs its repository's own code, which is never run: use one of {known}")
    if "vocab_size" in config and not {"vision_config", "image_size", "num_channels"} & config.keys():
        raise ValueError(f"model_type {kind!r} is a model of texts, which sees no pictures: use one of {known}")
    raise ValueError(f"model_type {kind!r} is not known here: use one of {known}")


def read_config(values: Mapping[str, Any]) -> Any:
    """Makes the library's config object of JSON.

    Raises:
        ValueError: the library refuses a value.
    """
    require_library()
    from transformers import AutoConfig

    if "quantization_config" in values:
        raise ValueError(
            "its weights are quantised, which needs code of other libraries: use a repository of whole ones"
        )
    check_numbers(_network_alone(values))
    named = values.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str) for name in named)):
        raise ValueError(f"the config has architectures {named!r}; it must be a list of names of classes")
    kept = {key: value for key, value in _network_alone(values).items() if key != "model_type"}
    try:
        return AutoConfig.for_model(values["model_type"], **kept)
    except Exception as error:  # the library's own classes of errors, one for each kind of value
        raise ValueError(f"the config is not one of transformers' {values['model_type']}: {_line(error)}") from None


def _network_alone(values: Any) -> Any:
    """Returns the config without what is no part of a network, at any depth."""
    if isinstance(values, Mapping):
        kept = {key: value for key, value in values.items() if key not in _LEFT_OUT and not str(key).startswith("_")}
        return {key: _network_alone(value) for key, value in kept.items()}
    return [_network_alone(value) for value in values] if isinstance(values, list) else values


def load_network(
    folder: Path, values: Mapping[str, Any], clip_spec: ClipSpec, *, files: Sequence[Path]
) -> LoadedNetwork:
    """Loads a checkpoint of the library: `model.safetensors`, or its shards. No code and no pickle of it is read.

    Args:
        folder: the folder with the files.
        values: its `config.json`.
        clip_spec: the input convention.
        files: those of the weights.

    Raises:
        ValueError: the model is not known, or the files lack a tensor or have one of another shape.
    """
    family, config = family_of(values), read_config(values)
    kind: Any = library_class(family.network(config))
    config.num_labels = _count_labels(values)
    try:
        # Tied parameters are in the files once. One that is in none is refused below, but would be built before.
        check_size(kind, family, config, arguments=_arguments(family, config), most=2 * count_values(files))
        with quiet_library():
            net, report = kind.from_pretrained(
                str(folder),
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **_arguments(family, config),
            )
    except Exception as error:  # OSError, RuntimeError, SafetensorError, .. with several lines
        raise ValueError(f"{folder} cannot be loaded as {kind.__name__}: {_line(error)}") from None
    if wrong := sorted(report["mismatched_keys"]):
        name, theirs, ours = wrong[0]
        raise ValueError(
            f"{folder}: {name} has shape {tuple(theirs)}, config.json says {tuple(ours)}: another model's weights"
        )
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{folder} lacks {len(missing)} tensors of {kind.__name__}, the first {missing[0]}")
    parameters = dict(net.named_parameters())
    classifier = getattr(net, "classifier", None)
    backbone = _adapted(family, net, config, clip_spec)
    kept = {id(parameter) for part in (backbone, classifier) if part is not None for parameter in part.parameters()}
    left_out = [name for name, parameter in parameters.items() if id(parameter) not in kept]
    return LoadedNetwork(
        backbone,
        _network_alone(values),
        classifier if isinstance(classifier, nn.Linear) else None,
        sorted([*report["unexpected_keys"], *left_out]),
    )


def _count_labels(values: Mapping[str, Any]) -> int:
    """Returns the number of a classifier's outputs. The library writes none where there are two."""
    named, number = values.get("id2label") or {}, values.get("num_labels", 2)
    if not isinstance(named, Mapping | list) or type(number) is not int:
        raise ValueError(f"the config has id2label {named!r} and num_labels {number!r}: give names, or a whole number")
    return len(named) or number


def _arguments(family: Family, config: Any) -> dict[str, Any]:
    return family.arguments(config) if family.arguments else {}


def _adapted(family: Family, net: Any, config: Any, clip_spec: ClipSpec) -> Backbone:
    """Makes a backbone of the library's network.

    Raises:
        ValueError: the network takes clips of another length or size only.
    """
    backbone = family.adapt(net, config, clip_spec)
    if backbone.takes_any_clip:
        return backbone
    length = clip_spec.clip_len if family.sees == "frames" else family.clip_len(config)
    if (clip_spec.clip_len, clip_spec.size) != (length, size := family.size(config)):
        raise ValueError(
            f"{family.title} takes clips of {length} frames of {size} x {size} only, not of {clip_spec.clip_len} "
            f"frames of {clip_spec.size} x {clip_spec.size}: its position encodings have that size"
        )
    return backbone


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
