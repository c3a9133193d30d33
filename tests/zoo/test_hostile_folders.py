"""Configs, preprocessor files and folders of teachers that are damaged or hostile."""

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_teachers import edit_json, write_teacher

from kdvideo.models.from_transformers import build_transformers
from kdvideo.zoo.load import load_model
from kdvideo.zoo.model_folder import read_model_folder

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

CONFIG, PIXELS = "config.json", "preprocessor_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_teacher("videomae", tmp_path / "teacher")
    return tmp_path / "teacher"


def _preprocessor_file(folder: Path) -> Path:
    return next(folder / name for name in ("video_preprocessor_config.json", PIXELS) if (folder / name).is_file())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id2label": 5}, "id2label 5"),
        ({"id2label": {}, "num_labels": "x"}, "num_labels 'x'"),
        ({"architectures": "VideoMAEForVideoClassification"}, "architectures"),  # was taken as a bare network's
        ({"architectures": {"a": 1}}, "architectures"),
        ({"architectures": [7]}, "architectures"),
        ({"model_type": None, "architecture": "vit_small_patch16_dinov3"}, "timm:vit_small_patch16_dinov3.TAG"),
    ],
)
def test_a_damaged_config(folder: Path, changes: dict[str, Any], said: str):
    edit_json(folder / CONFIG, **changes)
    with pytest.raises(ValueError, match=said) as caught:
        read_model_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 1 << 12}, "makes a VideoMAEForVideoClassification of [0-9]+ parameters, the weights have"),
        ({"intermediate_size": 1 << 21}, "of [0-9]+ parameters, the weights have [0-9]+ at most"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000; no network has more than 512"),
        ({"hidden_size": 10**12}, "hidden_size 1000000000000; no network has more"),
        ({"image_size": 1 << 20}, "positions, more than any known network"),
    ],
)
def test_a_config_of_a_huge_network(folder: Path, changes: dict[str, Any], said: str):
    """It is refused before it takes memory: of the last one the library computes a table of position encodings."""
    spec = read_model_folder(folder).spec
    edit_json(folder / CONFIG, **changes)
    tracemalloc.start()
    with pytest.raises(ValueError, match=said):
        read_model_folder(folder)
    assert tracemalloc.get_traced_memory()[1] < 256 << 20
    tracemalloc.stop()
    if "weights have" not in said:
        with pytest.raises(ValueError, match=said):
            build_transformers(config={**spec.backbone_kwargs["config"], **changes}, clip_spec=spec.clip_spec)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_std": [0, 0, 0]}, "not 0"),  # pixels would be infinite
        ({"image_mean": [1e308] * 3, "rescale_factor": 1e-300}, "finite"),
        ({"rescale_factor": 0}, "rescale_factor 0"),
        ({"rescale_factor": "x"}, "rescale_factor 'x'"),
        ({"resample": [2]}, "resample"),
        ({"size": {"shortest_edge": [36]}}, "shortest_edge"),
        ({"size": {"shortest_edge": 10**9}}, "short_side"),
        ({"crop_size": {"height": -5, "width": -5}}, "size is -5"),
    ],
)
def test_a_damaged_preprocessor_file(folder: Path, changes: dict[str, Any], said: str):
    edit_json(_preprocessor_file(folder), **changes)
    with pytest.raises(ValueError, match=said):
        read_model_folder(folder)


@torch.no_grad()
def test_a_config_cannot_name_other_weights(folder: Path):
    """The library loads the file that `transformers_weights` names. The hash is that of model.safetensors."""
    state = load_file(folder / "model.safetensors")
    save_file({name: value + 1 for name, value in state.items()}, folder / "other.safetensors", {"format": "pt"})
    before, _, _, _ = read_model_folder(folder)
    edit_json(folder / CONFIG, transformers_weights="other.safetensors")
    after, _, _, _ = read_model_folder(folder)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_an_adapter_beside_the_weights(folder: Path):
    """With peft installed, the library would add it to the weights that are hashed, and say nothing."""
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="adapter"):
        load_model(str(folder))


def test_an_entry_with_an_unknown_activation(folder: Path):
    """Configs come from other people's entries, too, without the library's check of a checkpoint."""
    _, spec, _, _ = read_model_folder(folder)
    config = {**spec.backbone_kwargs["config"], "hidden_act": "nonsense"}
    with pytest.raises(ValueError, match="nonsense"):
        build_transformers(config=config, clip_spec=spec.clip_spec)
