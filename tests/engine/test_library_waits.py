"""Teachers of the transformers library on a GPU: nothing in their forward waits for it, and bf16 does them no harm."""

import json
from pathlib import Path

import pytest
import torch
from fake_gpu import Waits, fake_gpu, move
from tiny_teachers import FRAMES, NETWORKS, SIZE, write_teacher

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.precision import prepare_frozen
from kdvideo.models.from_transformers import build_transformers
from kdvideo.models.spec import backbone_of
from kdvideo.zoo.load import load_model

pytest.importorskip("transformers", reason="the extra `teachers` is not installed")


@pytest.mark.parametrize("name", NETWORKS)
def test_forward(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On fake CUDA tensors every blocking copy and every number that is looked at is counted."""
    write_teacher(name, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    spec = ClipSpec(clip_len=FRAMES, size=SIZE, modality="rgb")
    backbone = build_transformers(config=config, clip_spec=spec).eval()
    with fake_gpu(monkeypatch, []), torch.no_grad():
        move(backbone)
        clips = torch.zeros(2, 3, FRAMES, SIZE, SIZE, device="cuda")
        with Waits() as counted:
            assert backbone(clips).is_cuda
        assert not +counted.waits, counted.waits


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_reduced_precision(name: str, tmp_path: Path):
    """As a frozen teacher under SOLVER.AMP bf16, whose 8 bits of mantissa leave less than a hundredth of error."""
    write_teacher(name, tmp_path)
    model = load_model(str(tmp_path))[0].eval()
    clips = torch.randn(2, 3, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    exact = backbone_of(model)(clips)
    prepare_frozen(model, torch.bfloat16)
    error = backbone_of(model)(clips) - exact
    assert 0 < error.norm() < 0.01 * exact.norm()
