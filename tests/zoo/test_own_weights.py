"""`torch.save(model.state_dict())` of kdvideo's own models loads as `safetensors.torch.save_file` of it does."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo.formats import CLIP_SPECS, OWN_CLIP_SPECS
from kdvideo.zoo.load import load_model

RGB = CLIP_SPECS["kdvideo-rgb"]
MODELS: dict[str, Callable[[], nn.Module]] = {
    "backbone": lambda: kdvideo.create_model("r3d_10", width=16),
    "full width": lambda: kdvideo.create_model("c3d"),
    "classifier": lambda: kdvideo.create_model("r2plus1d_10", num_classes=7, width=4),
    "pcl": lambda: kdvideo.create_pcl_model("r3d_10", width=4, projection_dim=16, tuple_len=4, num_pretext_classes=6),
    "orders": lambda: kdvideo.create_pcl_model(
        "c3d", width=4, pretext_head="order_head", num_pretext_classes=24, tuple_len=4
    ),
}


def save(model: nn.Module, folder: Path, ending: str) -> str:
    file = folder / f"own.{ending}"
    if ending == "safetensors":
        save_file(model.state_dict(), file)
    elif ending == "pt":
        torch.save(model.state_dict(), file)
    else:
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, file)
    return str(file)


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


@pytest.mark.parametrize("ending", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize("kind", MODELS)
def test_it_fills_its_like_and_is_rebuilt(kind: str, ending: str, tmp_path: Path):
    """All tensors are used; with the input convention, network and head are found from keys and shapes."""
    model = MODELS[kind]()
    source = save(model, tmp_path, ending)
    filled = MODELS[kind]()
    report = kdvideo.load_pretrained(filled, source)
    assert (set(report.used), dict(report.dropped), report.new) == (set(model.state_dict()), {}, ())
    assert_equal(filled, model)
    rebuilt, _ = load_model(source, clip_spec=RGB)
    assert type(rebuilt) is type(model)
    assert_equal(rebuilt, model)
    assert getattr(rebuilt, "backbone", rebuilt).clip_spec == RGB


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_backbone_goes_into_a_classifier(ending: str, tmp_path: Path):
    """As from an entry: the head is new."""
    source = save(MODELS["backbone"](), tmp_path, ending)
    report = kdvideo.load_pretrained(kdvideo.create_model("r3d_10", num_classes=3, width=16), source)
    assert report.new == ("head.weight", "head.bias")
    deep = save(kdvideo.create_model("r3d_18", width=16), tmp_path, ending)
    with pytest.raises(ValueError, match=r"have backbone\.blocks.*, which the model's backbone does not have: another"):
        kdvideo.load_pretrained(kdvideo.create_model("r3d_10", width=16), deep)


def test_what_it_was_trained_on_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """To build it; filling a model keeps the model's input, and says so."""
    source = save(MODELS["classifier"](), tmp_path, "pt")
    with pytest.raises(ValueError, match=f"are a bare state dict.*one of {', '.join(OWN_CLIP_SPECS)} as `clip_spec`"):
        load_model(source)
    caplog.set_level(logging.WARNING)
    model = kdvideo.create_model("r2plus1d_10", num_classes=7, width=4, clip_spec=ClipSpec(modality="rgb"))
    kdvideo.load_pretrained(model, source)
    assert isinstance(model, ClassificationModel)
    assert model.backbone.clip_spec.modality == "rgb"
    assert "do not say what they were trained on: the model keeps rgb clips, mean [0.45" in caplog.text
    kdvideo.load_pretrained(model, source, clip_spec=CLIP_SPECS["kdvideo-residual"])
    assert model.backbone.clip_spec == ClipSpec()


def test_one_network_of_several_names(tmp_path: Path):
    """X3D-XS, S and M have the same tensors: filled, but not built by guessing."""
    source = save(kdvideo.create_model("x3d_s", num_classes=3), tmp_path, "pt")
    assert kdvideo.load_pretrained(kdvideo.create_model("x3d_s", num_classes=3), source).new == ()
    with pytest.raises(ValueError, match="their tensors fit x3d_m, x3d_s, x3d_xs: use a zoo name"):
        load_model(source, clip_spec=RGB)


def test_files_that_are_not_ours(tmp_path: Path):
    """An own backbone that is not registered is named; what is nobody's is refused as before."""
    model = MODELS["classifier"]()
    model.backbone.extra = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=re.escape("fit no backbone that is registered here")):
        load_model(save(model, tmp_path, "pt"), clip_spec=RGB)
    with pytest.raises(ValueError, match="is no checkpoint of kdvideo's and of none of the layouts"):
        load_model(save(nn.Linear(2, 2), tmp_path, "pt"), clip_spec=RGB)
