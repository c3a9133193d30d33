"""No teacher of the transformers library makes the host wait for a GPU in its forward."""

import json
from pathlib import Path

import pytest
import torch
from fake_gpu import Waits, fake_gpu, move
from tiny_teachers import FRAMES, NETWORKS, SIZE, write_teacher

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.from_transformers import build_transformers

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
