"""Checkpoints of torchvision and PyTorchVideo, beside those libraries' own networks."""

import warnings
from pathlib import Path

import pytest
import torch
from foreign import fill, relative_error
from torch import Tensor, nn
from torchvision.models import video

import kdvideo
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.pytorchvideo_parts import hub
from kdvideo.zoo.formats import CLIP_SPECS, LAYOUTS, recognise
from kdvideo.zoo.load import load_model

TOLERANCE = 1e-5  # of the largest value: the same library on the same machine, sums in another order at most


def _network(name: str) -> nn.Module:
    """The library's own network, its weights and statistics away from their initial values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = getattr(hub if hasattr(hub, name) else video, name)()
    network.load_state_dict({key: fill(key, tuple(value.shape)) for key, value in network.state_dict().items()})
    return network.eval()


def _feature(network: nn.Module, classifier: nn.Linear, clip: Tensor) -> Tensor:
    """What enters the classifier."""
    seen: list[Tensor] = []
    handle = classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        network(clip)
    handle.remove()
    return seen[0].flatten(1)


@pytest.mark.parametrize(
    ("name", "clip_spec"),
    [
        ("r3d_18", "torchvision"),
        ("mc3_18", "torchvision"),
        ("r2plus1d_18", "torchvision"),
        ("slow_r50", "pytorchvideo-slow_r50"),
        pytest.param("r2plus1d_r50", "pytorchvideo-r2plus1d_r50", marks=pytest.mark.slow),  # 2 x 76 GMACs
        ("x3d_xs", "pytorchvideo-x3d_xs"),
    ],
)
def test_features_and_logits_equal_the_librarys(tmp_path: Path, name: str, clip_spec: str):
    """One clip of the network's own size, saved as the library saves it."""
    network = _network(name)
    spec = CLIP_SPECS[clip_spec]
    clip = torch.randn(1, 3, spec.clip_len, spec.size, spec.size, generator=torch.Generator().manual_seed(0))
    classifier = network.fc if hasattr(network, "fc") else network.blocks[-1].proj
    expected = _feature(network, classifier, clip)
    state = network.state_dict()
    torch.save({"model_state": state} if hasattr(hub, name) else state, tmp_path / "model.pyth")
    model, _ = load_model(str(tmp_path / "model.pyth"), clip_spec=spec)
    assert isinstance(model, ClassificationModel)
    with torch.no_grad():
        feature = model.eval().backbone(clip)
        assert relative_error(feature, expected) < TOLERANCE
        assert relative_error(model.head(feature), classifier(expected)) < TOLERANCE


HUB_NAMES = [name for name in kdvideo.list_models() if hasattr(hub, name)]


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("name", HUB_NAMES)
def test_hub_weights_and_pyslowfasts_copies(name: str, prefix: str):
    """Every network of the hub is recognised, also within PySlowFast's `model`; X3D-XS, S and M have the same keys."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {prefix + key: value for key, value in getattr(hub, name)().state_dict().items()}
        ours = kdvideo.create_model(name, num_classes=400).state_dict()
    match = recognise(theirs, LAYOUTS)
    assert match is not None
    layout = match.layout
    assert match.outer == ""
    assert layout.project == ("PySlowFast" if prefix else "PyTorchVideo")
    assert f"pytorchvideo-{name}" in layout.clip_specs
    translated = {name: value.shape for key, value in theirs.items() for name in layout.translate(key)}
    assert translated == {key: value.shape for key, value in ours.items()}
