"""Our own backbones: size, contract, gradients, state; and equality with the nets they are modelled on."""

import pytest
import torch
import torchvision

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import takes_option
from kdvideo.models.spec import ModelSpec
from kdvideo.registry import BACKBONES
from kdvideo.zoo.formats.torchvision import rename_r2plus1d, rename_r3d
from kdvideo.zoo.publish import count_macs

SMALL = ClipSpec(clip_len=8, size=56)
SMALLEST = {"c3d_sports1m": ClipSpec(clip_len=16, size=48)}  # of those that do not take SMALL
OWN = [name for name in BACKBONES.names() if takes_option(name, "width")]


# Parameters in millions and MACs in thousand millions of a clip of 3 x 16 x 112 x 112, as published for these nets.
@pytest.mark.parametrize(
    ("name", "params", "macs", "features"),
    [
        ("c3d", 27.66, 38.5, 512),
        ("c3d_sports1m", 78.00, 38.5, 4096),  # MMAction2: 78.4 M with the 0.41 M of its classifier
        ("r3d_10", 14.36, 19.9, 512),
        ("r3d_18", 33.17, 40.7, 512),
        ("r2plus1d_10", 14.37, 21.4, 512),
        ("r2plus1d_18", 31.30, 40.6, 512),
    ],
)
def test_published_size(name: str, params: float, macs: float, features: int):
    """Full-size nets have the published parameters and MACs, to the published digits."""
    model = kdvideo.create_model(name)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == params
    assert round(count_macs(model) / 1e9, 1) == macs
    assert model.num_features == features


def test_published_size_of_mmaction2s_r2plus1d_34():
    """63.8 M parameters with its classifier, 53.1 GMACs at 8 frames of the 256 x 256 that it is tested on."""
    model = kdvideo.create_model("r2plus1d_34_mmaction2", clip_spec=ClipSpec(clip_len=8, size=256))
    assert round((sum(p.numel() for p in model.parameters()) + 513 * 400) / 1e6, 1) == 63.8
    assert count_macs(model) / 1e9 == pytest.approx(53.1, rel=0.005)  # counters differ in what they do with norms


def test_c3d_sports1m_needs_16_frames():
    """Fewer would leave nothing behind its last pooling."""
    with pytest.raises(ValueError, match="c3d_sports1m cannot take clips of 8 frames of 112 x 112"):
        kdvideo.create_model("c3d_sports1m", clip_spec=ClipSpec(clip_len=8))


@pytest.mark.parametrize(("name", "rename"), [("r3d_18", rename_r3d), ("r2plus1d_18", rename_r2plus1d)])
def test_18_layers_equal_torchvision(name: str, rename):
    """With torchvision's weights under our names, the features are torchvision's."""
    reference = getattr(torchvision.models.video, name)(weights=None).eval()
    reference.fc = torch.nn.Identity()
    ours = kdvideo.create_model(name).eval()
    renamed = {rename(key): value for key, value in reference.state_dict().items()}
    ours.load_state_dict(renamed)
    clip = torch.randn(1, 3, 8, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), reference(clip), rtol=1e-5, atol=1e-5)  # fp32 sums in another order


@pytest.mark.parametrize("name", OWN)
def test_contract(name: str):
    """Feature shape, finite values, a map that averages to the feature, a gradient for every parameter."""
    spec = SMALLEST.get(name, SMALL)
    model = kdvideo.create_model(name, width=16, clip_spec=spec)
    clip = torch.randn(2, 3, spec.clip_len, spec.size, spec.size)
    feature = model(clip)
    assert feature.shape == (2, model.num_features)
    assert torch.isfinite(feature).all()
    assert model.clip_spec == spec
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(clip).mean(dim=(2, 3, 4)), model(clip))
    model.train()
    # squared, as the plain sum of a normalised map does not depend on the weights before the norm
    model(clip).square().sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias right before BatchNorm is subtracted again: its true gradient is zero.
    assert [key for key in without if not key.endswith("conv.bias")] == []
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", OWN)
def test_state_dict_round_trip(name: str):
    """A second network with the first one's state gives the same features, bit for bit."""
    spec = SMALLEST.get(name, SMALL)
    first, second = (kdvideo.create_model(name, width=16, clip_spec=spec).eval() for _ in range(2))
    clip = torch.randn(1, 3, spec.clip_len, spec.size, spec.size)
    with torch.no_grad():
        assert not torch.equal(first(clip), second(clip))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(clip), second(clip))


def test_what_is_no_backbone_is_named(monkeypatch: pytest.MonkeyPatch):
    """All that is missing at once; and a model whose backbone nobody has registered says what to do."""
    monkeypatch.setitem(BACKBONES._obj_map, "plain_net", lambda: torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="gives a Linear without num_features, clip_spec, forward_features: derive it"):
        kdvideo.create_model("plain_net")
    with pytest.raises(ValueError, match=r"backbone 'not_imported', which is not registered here: `import` FILE.py"):
        ModelSpec("not_imported", {}, kdvideo.ClipSpec()).build()
