"""Gradient checkpointing: the same numbers from fewer kept tensors."""

import copy

import pytest
import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models import Backbone
from kdvideo.models.pcl import takes_option


def step(model: torch.nn.Module, clip: torch.Tensor) -> tuple[torch.Tensor, dict, int]:
    """Returns outputs, gradients and how many bytes the forward pass kept."""
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(clip)
    stored = kept
    output.square().sum().backward()
    return output, {name: parameter.grad for name, parameter in model.named_parameters()}, stored


@pytest.mark.parametrize("name", ["r3d_10", "c3d", "x3d_xs", "mc3_18", "s3d"])
def test_same_numbers_less_memory(name: str):
    """Outputs, gradients and running statistics are the same to the bit, on and off again."""
    spec = ClipSpec(clip_len=16 if name == "s3d" else 8, size=32 if name != "s3d" else 64)
    model = kdvideo.create_model(name, clip_spec=spec, **({"width": 8} if takes_option(name, "width") else {}))
    other = copy.deepcopy(model)
    other.set_grad_checkpointing()
    other = copy.deepcopy(other)
    clip = torch.randn(2, 3, spec.clip_len, spec.size, spec.size)
    whole, recomputed = step(model, clip), step(other, clip)
    assert torch.equal(whole[0], recomputed[0])
    assert all(torch.equal(gradient, recomputed[1][key]) for key, gradient in whole[1].items())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())
    assert recomputed[2] < 0.7 * whole[2]
    other.set_grad_checkpointing(False)
    assert step(other, clip)[2] == pytest.approx(whole[2], rel=0.01)


def test_own_backbones_say_their_parts():
    """A backbone that names none says what to do."""
    with pytest.raises(ValueError, match=r"Backbone names no parts to recompute: write its parts_to_recompute\(\)"):
        Backbone(num_features=4, clip_spec=ClipSpec()).set_grad_checkpointing()
