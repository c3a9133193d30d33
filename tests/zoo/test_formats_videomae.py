"""Classifiers of VideoMAE's own code, read into the transformers library's VideoMAE."""

import math
from pathlib import Path

import pytest
import torch
from foreign import relative_error
from torch import Tensor, nn
from torch.nn import functional as F

from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo import contents
from kdvideo.zoo.formats import CLIP_SPECS, LAYOUTS, recognise
from kdvideo.zoo.formats.videomae import videomae_layout
from kdvideo.zoo.load import load_model

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")

TOLERANCE = 1e-5  # of the largest value: the same sums, in another order
WIDTH, DEPTH, HEADS, SIZE, PATCH, FRAMES, CLASSES = 24, 3, 3, 32, 8, 4, 5


class Block(nn.Module):
    """A layer of a vision transformer, as the paper describes it; keys have no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.attn = nn.Module()
        self.attn.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attn.q_bias, self.attn.v_bias = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.attn.proj = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.attn.q_bias, torch.zeros(WIDTH), self.attn.v_bias])
        parts = (self.attn.qkv(self.norm1(x)) + bias).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)).softmax(-1)
        x = x + self.attn.proj((weights @ value).transpose(1, 2).flatten(2))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class Reference(nn.Module):
    """The network as VideoMAE's files name its tensors, written from its description."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv3d(3, WIDTH, (2, PATCH, PATCH), stride=(2, PATCH, PATCH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.fc_norm, self.head = nn.LayerNorm(WIDTH, eps=1e-6), nn.Linear(WIDTH, CLASSES)

    def feature(self, clip: Tensor) -> Tensor:
        x = self.patch_embed.proj(clip).flatten(2).transpose(1, 2)
        place = torch.arange(x.shape[1], dtype=torch.float64)[:, None]
        angle = place / 10000 ** (2 * torch.arange(WIDTH // 2, dtype=torch.float64) / WIDTH)
        x = x + torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).float()
        for block in self.blocks:
            x = block(x)
        return self.fc_norm(x.mean(1))


@pytest.fixture
def reference() -> Reference:
    """A tiny one. All weights are large, so that no part goes unnoticed."""
    net, generator = Reference().eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"module": state}, lambda state: {"model": state}])
def test_features_and_logits(reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrap):
    """`fc_norm` of the mean token, the split of qkv, the biases of queries and values, the fixed positions."""
    layout = videomae_layout("tiny", width=WIDTH, depth=DEPTH, heads=HEADS, size=SIZE, patch=PATCH, frames=FRAMES)
    monkeypatch.setattr(contents, "LAYOUTS", (*LAYOUTS, layout))
    torch.save(wrap(reference.state_dict()), tmp_path / "vit.pth")
    spec = CLIP_SPECS["videomae-16x4"]
    spec = type(spec)(**{**spec.to_dict(), "clip_len": FRAMES, "size": SIZE})
    model, _ = load_model(str(tmp_path / "vit.pth"), clip_spec=spec)
    assert isinstance(model, ClassificationModel)
    clip = torch.randn(2, 3, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference.feature(clip)
        feature = model.eval().backbone(clip)
        assert relative_error(feature, expected) < TOLERANCE
        assert relative_error(model(clip), reference.head(expected)) < TOLERANCE
    assert not model.backbone.takes_any_clip


@pytest.mark.parametrize(("name", "width", "heads"), [("vit_s", 384, 6), ("vit_b", 768, 12)])
def test_the_published_sizes(name: str, width: int, heads: int):
    """Recognised with 12 blocks of their width, and not with more."""
    config = next(layout for layout in LAYOUTS if layout.name == f"videomae-{name}").backbone_kwargs["config"]
    assert (config["hidden_size"], config["num_attention_heads"], config["num_hidden_layers"]) == (width, heads, 12)
    state = {
        "patch_embed.proj.weight": torch.empty(width, 3, 2, 16, 16),
        "fc_norm.weight": torch.empty(width),
        **{f"blocks.{layer}.attn.qkv.weight": torch.empty(3 * width, width) for layer in range(12)},
        **{f"blocks.{layer}.attn.q_bias": torch.empty(width) for layer in range(12)},
    }
    assert str(recognise(state, LAYOUTS)) == f"videomae-{name}"
    assert recognise({**state, "blocks.12.attn.qkv.weight": torch.empty(3 * width, width)}, LAYOUTS) is None
