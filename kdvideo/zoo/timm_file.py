"""Weights of timm's image models: the file of a tag from the hub, or one on this machine."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kdvideo.models.from_timm import find_timm_config, load_timm
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.formats import BACKBONE_PREFIX, find_state
from kdvideo.zoo.formats.wrapping import plain_names
from kdvideo.zoo.hub import fetch_repository
from kdvideo.zoo.names_of_sources import Repository, TimmModel, parse_source
from kdvideo.zoo.unpickle import read_checkpoint

__all__ = ["FoundTimm", "find_timm", "read_timm", "repository_of"]


class FoundTimm(NamedTuple):
    """The weights of a timm model: their file, their licence, and a name that means exactly them.

    Licence and name are "" for a local file.
    """

    path: Path
    licence: str
    pinned: str


def find_timm(named: TimmModel) -> FoundTimm:
    """Finds the weights of a model of timm, or fetches those of its tag.

    Raises:
        ValueError: timm does not know the model, or has no weights of it on the hub.
    """
    config = find_timm_config(named.model)
    if named.file is not None:
        return FoundTimm(named.file, "", "")  # a file may hold anybody's weights
    repository = repository_of(named, config)
    folder, commit = fetch_repository(repository)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise ValueError(f"{repository} has no model.safetensors: give a file, timm:{named.model}@FILE")
    tag = f".{config['tag']}" if config.get("tag") else ""  # another version of timm may have another usual one
    pinned = TimmModel(f"{named.model.partition('.')[0]}{tag}", None, commit)
    return FoundTimm(path, str(config.get("license") or ""), str(pinned))


def repository_of(named: TimmModel, config: Mapping[str, Any]) -> Repository:
    """Returns the repository of a model's weights.

    Args:
        named: the model.
        config: what timm knows of it, as `find_timm_config` returns it.

    Raises:
        ValueError: timm has no weights of it on the hub.
    """
    name = config.get("hf_hub_id")
    if not name:
        raise ValueError(f"timm has no weights of {named.model} on the hub: give a file, timm:{named.model}@FILE")
    owner_and_repo, _, revision = str(name).removeprefix("hf-hub:").partition("@")
    return Repository(owner_and_repo, named.revision or revision)


def read_timm(source: str, path: Path) -> tuple[dict[str, Tensor], ModelSpec]:
    """Reads weights of a model of timm under kdvideo's names.

    Args:
        source: `timm:MODEL[.TAG][@FILE]`.
        path: the file.

    Raises:
        ValueError: the file cannot be read, or is of another model.
    """
    named = parse_source(source)
    assert isinstance(named, TimmModel)
    backbone, arguments, classifier = load_timm(named.model, _read_state(path))
    tensors = {f"{BACKBONE_PREFIX}{name}": value for name, value in backbone.state_dict().items()}
    spec = ModelSpec("timm", arguments, backbone.clip_spec)
    if classifier is not None:
        tensors |= {f"head.{name}": value for name, value in classifier.state_dict().items()}
        spec = replace(spec, head="classification_head", head_kwargs={"num_classes": classifier.out_features})
    return tensors, spec


def _read_state(path: Path) -> Mapping[str, Any]:
    if path.suffix != ".safetensors":
        state = find_state(read_checkpoint(path), origin=str(path)).state
        return {plain: state[name] for plain, name in plain_names(state).items()}
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from None
