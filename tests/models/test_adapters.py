"""Networks of PyTorchVideo and torchvision as backbones, each against the network it was taken from."""

import re
import runpy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights, video

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import takes_option
from kdvideo.models.pytorchvideo_parts import hub
from kdvideo.registry import BACKBONES
from kdvideo.tables import markdown_rows

# Parameters in millions with a classifier of 400 classes, and GMACs of a native clip: PyTorchVideo's model zoo, whose
# 256 x 256 are scaled to 224 x 224; X3D-L and all X3D's GMACs from PySlowFast's, which counts the training crop.
PYTORCHVIDEO = {
    "c2d_r50": (24.33, 25.89 * 49 / 64),
    "i3d_r50": (28.04, 37.53 * 49 / 64),
    "slow_r50": (32.45, 54.52 * 49 / 64),
    "csn_r101": (22.21, 75.62 * 49 / 64),
    "r2plus1d_r50": (28.11, 76.45 * 49 / 64),
    "x3d_xs": (3.79, 0.60),
    "x3d_s": (3.79, 1.96),
    "x3d_m": (3.79, 4.73),
    "x3d_l": (6.15, 18.37),
    "efficient_x3d_xs": (3.79, 0.60),
    "efficient_x3d_s": (3.79, 1.96),
}
TORCHVISION = ("mc3_18", "mvit_v1_b", "mvit_v2_s", "s3d", "swin3d_b", "swin3d_s", "swin3d_t")
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")
FAST = ("efficient_x3d_xs", "mc3_18", "x3d_xs")
EACH = [
    pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in sorted((*PYTORCHVIDEO, *TORCHVISION))
]
NATIVE_SIZE_ONLY = ("mvit_v1_b", "mvit_v2_s")
# MViTv2's last block: positions and the queries' pooling do not touch the class token, which is all that is used.
ONLY_FOR_OTHER_TOKENS = ("blocks.15.attn.rel_pos_", "blocks.15.attn.pool_q.pool.weight")
PROJECTED = ("x3d", "efficient_x3d", "mvit")  # their feature is not the mean of the map


def test_every_backbone_is_tested():
    """Who registers another network finds out here."""
    own = {name for name in BACKBONES.names() if takes_option(name, "width")}
    assert {*own, *PYTORCHVIDEO, *TORCHVISION} == set(BACKBONES.names())


def create_empty(name: str) -> Backbone:
    """The backbone with shapes but no numbers."""
    with torch.device("meta"):
        return kdvideo.create_model(name).eval()


@cache
def torch_macs(name: str) -> float:
    """Multiply-accumulates of one native clip by torch's counter, without computing anything."""
    backbone = create_empty(name)
    spec = backbone.clip_spec
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone(torch.zeros(1, 3, spec.clip_len, spec.size, spec.size, device="meta"))
    return counter.get_total_flops() / 2


def create_original(name: str) -> tuple[nn.Module, str]:
    """The other library's network in eval mode with no weight at a special value, and its classifier's name."""
    torch.manual_seed(0)
    net = getattr(hub if name in PYTORCHVIDEO else video, name)().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            # PyTorchVideo starts a residual branch at zero: the branches would not be compared.
            nn.init.uniform_(module.weight, 0.2, 0.8)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    (classifier,) = (
        key for key, m in net.named_modules() if 400 in (getattr(m, "out_features", 0), getattr(m, "out_channels", 0))
    )
    return net, classifier


def own_feature(net: nn.Module, classifier: str, clip: torch.Tensor) -> torch.Tensor:
    """What the classifier is applied to, averaged over its places."""
    seen = []
    module = net.get_submodule(classifier)
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(clip)
    handle.remove()
    if isinstance(module, nn.Conv3d):
        return seen[0].mean(dim=(2, 3, 4))
    return seen[0].flatten(1, -2).mean(dim=1) if seen[0].dim() > 2 else seen[0]


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_feature_is_the_networks_own(name: str):
    """At the native size, with the original's tensors under their names: only the classifier's are left over."""
    net, classifier = create_original(name)
    backbone = kdvideo.create_model(name).eval()
    state = net.state_dict()
    assert set(state) - set(backbone.state_dict()) == {f"{classifier}.weight", f"{classifier}.bias"}
    backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith(classifier)})
    spec = backbone.clip_spec
    clip = torch.randn(1, 3, spec.clip_len, spec.size, spec.size)
    expected = own_feature(net, classifier, clip)
    feature = backbone(clip)
    assert feature.shape == expected.shape == (1, backbone.num_features)
    assert expected.std() > 0
    assert (feature - expected).abs().max() / expected.abs().max() < 1e-5


@pytest.mark.parametrize("name", sorted(PYTORCHVIDEO))
def test_parameters_are_pytorchvideos(name: str):
    """With a classifier of 400 classes: the published number, to its digits."""
    backbone = create_empty(name)
    with_classifier = sum(p.numel() for p in backbone.parameters()) + (backbone.num_features + 1) * 400
    assert round(with_classifier / 1e6, 2) == PYTORCHVIDEO[name][0]


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_input_are_torchvisions(name: str):
    """With a classifier of 400 classes: exactly the published number; crop and normalisation of its transforms."""
    backbone = create_empty(name)
    weights = get_model_weights(name).DEFAULT
    with_classifier = sum(p.numel() for p in backbone.parameters()) + (backbone.num_features + 1) * 400
    assert with_classifier == weights.meta["num_params"]
    transforms, spec = weights.transforms(), backbone.clip_spec
    assert transforms.crop_size == [spec.size, spec.size]
    assert transforms.mean == list(spec.mean)
    assert transforms.std == list(spec.std)
    assert f"frame_rate={30 / spec.frame_stride:g}" in weights.meta["_docs"]
    assert f"clip_len={spec.clip_len}" in weights.meta["_docs"]


@pytest.mark.parametrize("name", sorted((*PYTORCHVIDEO, *TORCHVISION)))
def test_macs_are_the_published_ones(name: str):
    """Of a native clip, counted by torch over convolutions and matrix products."""
    if name in PYTORCHVIDEO:
        published = PYTORCHVIDEO[name][1]
    else:  # torchvision counts 16 frames
        published = get_model_weights(name).DEFAULT.meta["_ops"] * create_empty(name).clip_spec.clip_len / 16
    # PyTorchVideo's table also counts norms: up to 2.4 % in CSN. Two digits of 0.60 leave 0.8 %.
    assert torch_macs(name) / 1e9 == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize("name", EACH)
def test_16_frames_of_112(name: str):
    """All but MViT take our usual clips; the map averages to the feature where the docstring says so."""
    spec = ClipSpec()
    if name in NATIVE_SIZE_ONLY:
        with pytest.raises(
            ValueError, match="MViT takes clips of 16 frames of 224 x 224 only, not of 16 frames of 112"
        ):
            kdvideo.create_model(name, clip_spec=spec)
        return
    backbone = kdvideo.create_model(name, clip_spec=spec).eval()
    assert backbone.clip_spec == spec
    clip = torch.randn(1, 3, 16, 112, 112)
    with torch.no_grad():
        feature, features = backbone(clip), backbone.forward_features(clip)
    assert feature.shape == (1, backbone.num_features)
    assert features.shape[:2] == (1, backbone.num_features)
    assert features.dim() == 5
    if not name.startswith(PROJECTED):
        torch.testing.assert_close(features.mean(dim=(2, 3, 4)), feature)


@pytest.mark.parametrize("name", EACH)
def test_gradient_reaches_every_parameter(name: str):
    """From the feature down to the stem, at a small size where the network has none of its own."""
    torch.manual_seed(0)  # with few draws all units of a squeeze-excitation are behind their ReLU's zero
    native = name in NATIVE_SIZE_ONLY
    backbone = kdvideo.create_model(name, clip_spec=None if native else ClipSpec(clip_len=16, size=64))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.constant_(module.weight, 0.5)  # a branch that starts at zero stops the gradient
    spec = backbone.clip_spec
    clip = torch.randn(1 if native else 2, 3, spec.clip_len, spec.size, spec.size)
    backbone.eval()(clip).square().sum().backward()
    without = [key for key, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [key for key in without if not (name == "mvit_v2_s" and key.startswith(ONLY_FOR_OTHER_TOKENS))] == []
    assert all(torch.isfinite(p.grad).all() for p in backbone.parameters())


def test_the_page_lists_every_backbone():
    """docs/models.md against the registry; MACs by torch's counter, which leaves out norms and pooling (to 5 %)."""
    cells = [re.split(r" *\| *", line)[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert sorted(name.strip("`") for name, *_ in cells) == BACKBONES.names()
    for cell, _, clip, params, macs, features, _ in cells:
        name = cell.strip("`")
        backbone = create_empty(name)
        spec = backbone.clip_spec
        assert clip == f"{spec.clip_len} x {spec.frame_stride}, {spec.size} x {spec.size}"
        assert params == f"{sum(p.numel() for p in backbone.parameters()) / 1e6:.2f}"
        assert float(macs) == pytest.approx(torch_macs(name) / 1e9, rel=0.05)
        assert int(features) == backbone.num_features


@pytest.mark.parametrize("name", [*FAST, "r3d_10"])
def test_the_page_is_what_its_script_writes(name: str):
    """To the last digit."""
    row = runpy.run_path(str(DOCS / "make_models_table.py"))["row"]
    assert markdown_rows([row(name)]) in PAGE


@pytest.mark.parametrize("name", ["slowfast_r50", "slowfast_r101", "slow_r50_detection"])
def test_what_does_not_fit_is_refused(name: str):
    """With the reason and what to take instead, however it is asked for."""
    for ask in (kdvideo.create_model, BACKBONES.get):
        with pytest.raises(ValueError, match=f"there is no backbone '{name}': .* a backbone takes .*use slow_r50"):
            ask(name)
    assert name not in kdvideo.list_models()


def test_a_width_is_refused():
    """Their channels are what they are."""
    with pytest.raises(ValueError, match="backbone 'x3d_xs' has no option 'width': leave it out, it takes clip_spec"):
        kdvideo.create_model("x3d_xs", width=16)
