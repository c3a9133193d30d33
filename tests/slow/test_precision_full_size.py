"""Reduced precision at full size: every convolution of the paper's networks, one tuple of 16 frames of 112 x 112."""

import pytest
import torch

from kdvideo.engine.precision import LARGEST_ERROR, convolution_errors, find_convolutions, guard_convolutions
from kdvideo.models.pcl import build_backbone

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "num_convolutions"), [("r3d_10", 12), ("r2plus1d_10", 24), ("c3d", 8)])
def test_every_convolution_is_right(name: str, num_convolutions: int):
    """Within 2 % of fp32's weight gradient in each of five calls."""
    backbone = build_backbone(name).to(memory_format=torch.channels_last_3d)
    guard_convolutions(backbone, torch.bfloat16, num_clips=3, device=CPU)
    errors = {
        use.name: convolution_errors(use, torch.bfloat16)["weight gradient"]
        for use in find_convolutions(backbone, num_clips=3, device=CPU)
    }
    assert len(errors) == num_convolutions
    assert max(errors.values()) <= LARGEST_ERROR, errors
