"""Grad-CAM against loops, closed forms and finite differences; the map that each backbone is explained by."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.inference.gradcam import find_last_map, grad_cam
from kdvideo.models.backbone import Backbone
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.registry import BACKBONES

SPEC = ClipSpec(clip_len=16, size=64)


class Tiny(Backbone):
    """One convolution, pooled."""

    def __init__(self, *, stride: int = 1) -> None:
        super().__init__(num_features=2, clip_spec=ClipSpec(clip_len=4, size=4))
        self.conv = nn.Conv3d(3, 2, 3, stride=(stride, 1, 1), padding=1)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.conv(clip)


def test_equals_equations_1_and_2_in_loops():
    """On a linear network, where also the gradient is known: the classifier's weight over the number of places."""
    torch.manual_seed(0)
    net, head, clips = Tiny(), nn.Linear(2, 3), torch.randn(2, 3, 4, 5, 6)
    heat = grad_cam(lambda clips: head(net(clips))[:, 1], net.conv, clips)
    features = net.conv(clips)
    places = 4 * 5 * 6
    for b in range(2):
        for t in range(4):
            for i in range(5):
                for j in range(6):
                    value = sum(head.weight[1, k] / places * features[b, k, t, i, j] for k in range(2))
                    assert heat[b, t, i, j].item() == pytest.approx(max(value.item(), 0), abs=1e-7)
    assert 0.2 < (heat > 0).float().mean() < 0.8  # so that the ReLU has been seen on both sides


def test_without_relu_the_heat_adds_up_to_the_score():
    """For a linear head without a bias: nothing of the score is lost between the places."""
    torch.manual_seed(0)
    net, head, clips = Tiny(), nn.Linear(2, 1, bias=False), torch.randn(1, 3, 4, 5, 6)
    parts = [
        grad_cam(lambda clips, sign=sign: sign * head(net(clips))[:, 0], net.conv, clips).sum() for sign in (1, -1)
    ]
    assert (parts[0] - parts[1]).item() == pytest.approx(head(net(clips)).item(), abs=1e-5)


def test_upsampling_in_time():
    """Two time steps become four frames; a value stands for its step's middle: a, (3a + b) / 4, (a + 3b) / 4, b."""
    torch.manual_seed(0)
    net, clips = Tiny(stride=2), torch.randn(1, 3, 4, 4, 4)
    heat = grad_cam(lambda clips: net(clips)[:, 0], net.conv, clips)
    first, second = (net.conv(clips)[0, 0] / 32).relu()
    expected = torch.stack([first, 0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second, second])
    torch.testing.assert_close(heat[0], expected)


@pytest.mark.parametrize("name", ["c3d", "r3d_10", "r2plus1d_10", "x3d_xs", "c3d_sports1m", "s3d"])
def test_weights_equal_finite_differences(name: str):
    """Equation 1: how the score changes when a whole channel of the map is raised a little, in float64.

    Among them a map that is projected after pooling, one that goes through fully connected layers, and one that is
    pooled by a sliding window.
    """
    torch.manual_seed(0)
    width = {"width": 4} if name in ("c3d", "r3d_10", "r2plus1d_10", "c3d_sports1m") else {}
    backbone = kdvideo.create_model(name, clip_spec=ClipSpec(clip_len=16, size=48), **width).eval().double()
    clip = torch.randn(1, 3, 16, 48, 48, dtype=torch.float64)
    direction = torch.randn(backbone.num_features, dtype=torch.float64)
    _, layer, places = find_last_map(backbone, clip)

    def score(clips: Tensor) -> Tensor:
        return torch.tanh(backbone(clips) @ direction)

    features: list[Tensor] = []
    handle = layer.register_forward_hook(lambda *call: features.append(call[2]))
    with torch.no_grad():
        score(clip)
    handle.remove()
    # Some channels; the others' weights are left as they are, by taking the heat of a map that has only these.
    channels, step, weights = range(0, features[0].shape[1], max(1, features[0].shape[1] // 6)), 1e-5, []
    for channel in channels:
        change = torch.zeros_like(features[0])
        change[:, channel] = step
        up, down = (changed(score, layer, sign * change, clip) for sign in (1, -1))
        weights.append((up - down) / (2 * step) / features[0][0, 0].numel())
    gradient = channel_weights(score, layer, clip)
    assert features[0].shape[2:] == places
    torch.testing.assert_close(gradient[list(channels)], torch.stack(weights), rtol=1e-5, atol=1e-9)
    heat = (gradient[:, None, None, None] * features[0][0]).sum(dim=0).relu()
    expected = nn.functional.interpolate(heat[None, None], (16, 48, 48), mode="trilinear")[0, 0]
    torch.testing.assert_close(grad_cam(score, layer, clip)[0], expected)


def changed(score: Callable[[Tensor], Tensor], layer: nn.Module, change: Tensor, clip: Tensor) -> Tensor:
    """The score of a clip whose map is another."""
    handle = layer.register_forward_hook(lambda *call: call[2] + change)
    with torch.no_grad():
        value = score(clip)[0]
    handle.remove()
    return value


def channel_weights(score: Callable[[Tensor], Tensor], layer: nn.Module, clip: Tensor) -> Tensor:
    """Equation 1 by autograd alone, `[K]`."""
    features: list[Tensor] = []
    handle = layer.register_forward_hook(lambda *call: features.append(call[2]))
    value = score(clip.requires_grad_())[0]
    handle.remove()
    (gradient,) = torch.autograd.grad(value, features[0])
    return gradient[0].mean(dim=(1, 2, 3))


@pytest.mark.parametrize("name", BACKBONES.names())
def test_last_map_of_every_backbone(name: str):
    """It is as fine as the backbone's own map, or lies before fully connected layers; class tokens have none."""
    native = name.startswith("mvit")
    with Uninitialised():
        backbone = kdvideo.create_model(name, clip_spec=None if native else SPEC).eval()
    spec = backbone.clip_spec
    clip = torch.zeros(1, 3, spec.clip_len, spec.size, spec.size)
    if native:
        with pytest.raises(
            ValueError, match=r"MViTBackbone has another way to its feature \(what its norm gives is \[1"
        ):
            find_last_map(backbone, clip)
        return
    _, module, places = find_last_map(backbone, clip)
    with torch.inference_mode():
        own = tuple(backbone.forward_features(clip).shape[2:])
    assert places[1:] == (own[1:] if name != "c3d_sports1m" else (3, 3))
    assert not isinstance(module, nn.LayerNorm)
    assert all(not part._forward_hooks for part in backbone.modules())


def test_a_backbone_without_a_map_is_refused():
    """One that sees every pixel at once."""

    class Flat(Tiny):
        def forward(self, clip: Tensor) -> Tensor:
            return clip.flatten(1)[:, :2]

    with pytest.raises(ValueError, match=r"Flat has another way to its feature \(it has none\): choose a conv"):
        find_last_map(Flat(), torch.zeros(1, 3, 4, 4, 4))
