"""Reads a folder as the transformers library writes it: config.json, safetensors, preprocessor file, README.md."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.files import file_sha256
from kdvideo.foreign import parse_json, parse_yaml, read_text
from kdvideo.models.from_transformers.build import family_of, load_network, read_config
from kdvideo.models.from_transformers.convention import find_clip_spec
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.formats.own import BACKBONE_PREFIX
from kdvideo.zoo.names_of_sources import CONFIG

__all__ = ["FolderModel", "card_licence", "hash_settings", "hash_weights", "read_model_folder"]

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.msgpack", "*.h5")
_MOST_BYTES = 64 << 20  # the index of a model of billions of parameters has some hundred KB
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", flags=re.DOTALL)
# As the library looks for it: a processor's part for videos or pictures, then the files that have only that part.
_PARTS = ("video_processor", "image_processor", "feature_extractor")
_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


class FolderModel(NamedTuple):
    """What a folder holds, under kdvideo's names.

    Attributes:
        tensors: `backbone.*`, and `head.*` of a classifier.
        spec: how the model is built.
        classes: the classifier's class names in the order of its outputs. Empty if they are only numbered.
        dropped: maps a tensor's name in the folder to the reason why it is left out.
    """

    tensors: dict[str, Tensor]
    spec: ModelSpec
    classes: list[str]
    dropped: dict[str, str]


def read_model_folder(folder: Path, clip_spec: ClipSpec | None = None) -> FolderModel:
    """Reads a model of the transformers library. No code of it is run, and no pickle is read.

    Args:
        folder: the folder.
        clip_spec: the input convention of a folder without a preprocessor file. Others have their own.

    Raises:
        ValueError: the model is not known, a file is missing or damaged, or nothing says how pixels are normalised.
    """
    values = _read_json(folder / CONFIG)
    family = family_of(values)
    if (folder / "adapter_config.json").exists():  # with peft installed, the library would add it in silence
        raise ValueError(f"{folder} has an adapter beside its weights: merge them, and save the merged model")
    files = weights_files(folder)  # refuses pickles and names that lead elsewhere, before the library reads anything
    config = read_config(values)
    if clip_spec is None or _has_preprocessor(folder):
        clip_spec = find_clip_spec(_read_preprocessor(folder), family, config)
    loaded = load_network(folder, values, clip_spec, files=files)
    tensors = {f"{BACKBONE_PREFIX}{name}": value for name, value in loaded.backbone.state_dict().items()}
    spec = ModelSpec("transformers", {"config": loaded.config}, clip_spec)
    if (layer := loaded.classifier) is not None:
        tensors |= {f"head.{name}": value for name, value in layer.state_dict().items()}
        spec = replace(spec, head="classification_head", head_kwargs={"num_classes": layer.out_features})
    classes = _class_names(values.get("id2label")) if loaded.classifier is not None else []
    return FolderModel(tensors, spec, classes, dict.fromkeys(loaded.unused, "no feature needs it"))


def weights_files(folder: Path) -> list[Path]:
    """Lists the files of a folder's weights: one, or the shards that its index names.

    Raises:
        ValueError: there are none, or an index names a file elsewhere or one that is missing.
    """
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    if not (folder / _INDEX).is_file():
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        why = f"{pickles[0]} is a pickle, which is not read: " if pickles else ""
        raise ValueError(f"{folder} has no {_WHOLE}: {why}use a revision with safetensors, or save the model as such")
    placed = _read_json(folder / _INDEX).get("weight_map")
    if not isinstance(placed, dict) or not placed or not all(isinstance(name, str) for name in placed.values()):
        raise ValueError(f"{folder / _INDEX} has no weight_map")
    names = sorted(set(placed.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise ValueError(f"{folder / _INDEX} names {name!r}, which is not there: fetch or copy it again")
    return [folder / name for name in names]


def hash_weights(folder: Path) -> str:
    """Returns the sha256 of the weights of a folder. Of several files it is that of their names and hashes."""
    files = weights_files(folder)
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def hash_settings(folder: Path) -> str:
    """Returns the sha256 of the files that say what a folder's weights compute, and of which pixels."""
    names = (CONFIG, "processor_config.json", *_FILES)
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in names if (folder / name).is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def card_licence(folder: Path) -> str:
    """Returns the licence that the front matter of README.md states, or ""."""
    path = folder / "README.md"
    try:
        found = _FRONT_MATTER.match(read_text(path)) if path.is_file() else None
        values = parse_yaml(found.group(1)) if found else {}
    except ValueError:
        return ""  # a card that nobody can read says nothing
    if not isinstance(values, dict):
        return ""
    named = values.get("license_name") if values.get("license") == "other" else None
    stated = named or values.get("license") or ""
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)


def _has_preprocessor(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("processor_config.json", *_FILES))


def _read_preprocessor(folder: Path) -> Mapping[str, Any]:
    if (folder / "processor_config.json").is_file():
        processor = _read_json(folder / "processor_config.json")
        for part in _PARTS:
            if isinstance(processor.get(part), dict):
                return processor[part]
    for name in _FILES:
        if (folder / name).is_file():
            return _read_json(folder / name)
    raise ValueError(
        f"{folder} has none of {', '.join(_FILES)}, which say how pixels are normalised: copy it there, or "
        "give `clip_spec`"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = parse_json(read_text(path, most_bytes=_MOST_BYTES))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no JSON object")
    return values


def _class_names(named: Any) -> list[str]:
    """Returns the class names in the order of their numbers. Those that the library makes up say nothing."""
    if not isinstance(named, dict) or not all(str(key).isdecimal() for key in named):
        return []
    names = [str(named[key]) for key in sorted(named, key=int)]
    return [] if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names
