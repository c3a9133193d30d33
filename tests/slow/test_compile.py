"""SOLVER.COMPILE: the compiled backbone is the same function, in training only."""

import pytest
import torch

from kdvideo.config import get_defaults
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.precision import prepare_student
from kdvideo.models.pcl import build_backbone


@pytest.mark.slow
def test_compiled_backbone():
    """Features and gradients up to rounding (other sums, other layouts); in eval mode bit by bit what is written."""
    clip = torch.randn(4, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        backbone = build_backbone("c3d", width=4, clip_spec=ClipSpec(clip_len=8, size=32))
        cfg = get_defaults()
        cfg.SOLVER.COMPILE = compiled
        before = backbone.eval()(clip)
        prepare_student(backbone, cfg, device=torch.device("cpu"))
        assert torch.equal(backbone(clip), before)
        features = backbone.train()(clip)
        features.square().sum().backward()
        results.append((features.detach(), [parameter.grad for parameter in backbone.parameters()]))
    (plain, plain_gradients), (fast, fast_gradients) = results
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-4)
    for a, b in zip(plain_gradients, fast_gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-2, atol=1e-3 * a.abs().max().item() + 1e-4)
