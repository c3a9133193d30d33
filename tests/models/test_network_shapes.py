"""A network without numbers has the names and shapes of the real one."""

import pytest
import torch

from kdvideo.models.pcl import build_backbone
from kdvideo.models.shapes import without_numbers


@pytest.mark.parametrize("name", ["r3d_10", "x3d_xs", "mvit_v2_s"])
def test_names_and_shapes_are_the_real_ones(name: str):
    """Also where the builder initialises its weights itself, and nothing is left out afterwards."""
    with without_numbers():
        planned = build_backbone(name).state_dict()
    real = build_backbone(name).state_dict()
    assert {key: value.shape for key, value in planned.items()} == {key: value.shape for key, value in real.items()}
    assert {value.device.type for value in planned.values()} == {"meta"}
    assert torch.equal(torch.empty(2).fill_(3.0), torch.tensor([3.0, 3.0]))
