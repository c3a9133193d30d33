"""Checkpoints of torchvision and PyTorchVideo, beside those libraries' own networks."""

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from foreign import fill, relative_error
from torch import Tensor, nn
from torchvision.models import get_model_weights, video

import kdvideo
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.pytorchvideo_parts import hub
from kdvideo.zoo.folder import Zoo
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
    """Saved as the library saves it. One clip, of the network's own size where its pooling wants that."""
    network = _network(name)
    spec = CLIP_SPECS[clip_spec]
    if name.endswith("_18"):
        spec = dataclasses.replace(spec, clip_len=8, size=56)
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


SAME_KEYS = {"s3d": (16, 224), "mvit_v1_b": None, "mvit_v2_s": (16, 224), "swin3d_t": (8, 64)}
SAME_KEYS |= dict.fromkeys(("swin3d_s", "swin3d_b"))  # of the larger ones, every key


@pytest.mark.parametrize("name", [name for name, sides in SAME_KEYS.items() if sides])
def test_torchvisions_transformers_and_s3d(tmp_path: Path, name: str):
    """Logits, also of S3D's classifier, which is a convolution; MViT refuses other clips, the others take them."""
    network = _network(name)
    clip_len, size = SAME_KEYS[name] or (0, 0)
    spec = dataclasses.replace(CLIP_SPECS[f"torchvision-{name}"], clip_len=clip_len, size=size)
    clip = torch.randn(1, 3, clip_len, size, size, generator=torch.Generator().manual_seed(0))
    torch.save(network.state_dict(), tmp_path / "model.pth")
    model, _ = load_model(str(tmp_path / "model.pth"), clip_spec=spec)
    assert isinstance(model, ClassificationModel)
    with torch.no_grad():
        assert relative_error(model.eval()(clip), network(clip)) < TOLERANCE
    assert model.backbone.takes_any_clip == (name != "mvit_v2_s")


@pytest.mark.parametrize("name", SAME_KEYS)
def test_entries_of_torchvisions_transformers_and_s3d(name: str):
    """Each key has its place; the entry says what torchvision's own enum says."""
    with torch.device("meta"):
        theirs = getattr(video, name)().state_dict()
        ours = kdvideo.create_model(name, num_classes=400).state_dict()
    match = recognise(theirs, LAYOUTS)
    assert match is not None
    assert {key for each in theirs for key in match.layout.translate(each)} == ours.keys()
    entries = [entry for entry in Zoo.packaged().entries() if entry.layout == f"torchvision-{name}"]
    weights = {each.url: each for each in get_model_weights(name)}
    assert {entry.urls[0] for entry in entries} == weights.keys()
    for entry in entries:
        enum, spec = weights[entry.urls[0]], entry.model.clip_spec
        reported = enum.meta["_metrics"]["Kinetics-400"]
        assert entry.metrics["k400_top1"] == pytest.approx(reported["acc@1"] / 100)
        assert entry.sha256 is not None
        assert entry.file.endswith(f"-{entry.sha256}.pth")
        preset = enum.transforms()
        assert (spec.mean, spec.std, [spec.size] * 2) == (tuple(preset.mean), tuple(preset.std), preset.crop_size)
        assert spec.own_short_side == preset.resize_size[0]
        assert match.layout.name == entry.layout


HUB_NAMES = [name for name in kdvideo.list_models() if hasattr(hub, name)]


@pytest.mark.parametrize("name", HUB_NAMES)
def test_hub_weights_and_pyslowfasts_copies(name: str):
    """Every network of the hub is recognised, also within PySlowFast's `model`; X3D-XS, S and M have the same keys."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = getattr(hub, name)().state_dict()
        ours = kdvideo.create_model(name, num_classes=400).state_dict()
    for prefix, project in (("", "PyTorchVideo"), ("model.", "PySlowFast")):
        theirs = {prefix + key: value for key, value in state.items()}
        match = recognise(theirs, LAYOUTS)
        assert match is not None
        layout = match.layout
        assert match.outer == ""
        assert layout.project == project
        assert f"pytorchvideo-{name}" in layout.clip_specs
        translated = {each: value.shape for key, value in theirs.items() for each in layout.translate(key)}
        assert translated == {key: value.shape for key, value in ours.items()}
