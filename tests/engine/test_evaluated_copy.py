"""The copy that evaluations in bf16 measure is, whenever it is asked for, what a fresh one would be."""

import pytest
import torch
from torch import nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.evaluated_copy import EvaluatedCopy
from kdvideo.engine.precision import prepare_frozen
from kdvideo.models.spec import ModelSpec

KWARGS = {"num_pretext_classes": 5, "tuple_len": 3, "projection_dim": 16}


def make_spec(backbone: str) -> ModelSpec:
    kwargs = {} if backbone == "s3d" else {"width": 4}
    clip = ClipSpec(clip_len=16, size=64) if backbone == "s3d" else ClipSpec(clip_len=8, size=32)
    return ModelSpec(backbone=backbone, backbone_kwargs=kwargs, clip_spec=clip, head="pcl_head", head_kwargs=KWARGS)


def change(model: nn.Module, seed: int) -> None:
    """Moves every weight and every statistic, as an epoch does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                change = 0.1 * torch.rand(tensor.shape, generator=generator)
                tensor.add_(change if name.endswith("running_var") else change - 0.05)


@pytest.mark.parametrize("backbone", ["r3d_10", "r2plus1d_10", "c3d", "s3d"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_as_built_anew(backbone: str, dtype: torch.dtype):
    """Bit for bit, after each of three epochs, by one and the same copy; s3d is folded part by part."""
    spec = make_spec(backbone)
    model = spec.build().to(memory_format=torch.channels_last_3d).train()
    copy = EvaluatedCopy(spec, model, dtype)
    seen = []
    for epoch in range(3):
        change(model, epoch)
        fresh = spec.build()
        fresh.load_state_dict(model.state_dict())
        prepare_frozen(fresh, dtype)
        found = copy.current()
        expected = fresh.state_dict()
        assert list(found.state_dict()) == list(expected)
        for name, tensor in found.state_dict().items():
            assert tensor.dtype == expected[name].dtype
            assert torch.equal(tensor, expected[name]), name
        assert not any(isinstance(part, nn.BatchNorm3d) for part in found.modules())
        seen.append(found)
    assert seen[0] is seen[1] is seen[2]
    assert model.training


def test_in_fp32_the_model_itself_is_measured():
    """There is no second network then."""
    spec = make_spec("r3d_10")
    model = spec.build()
    assert EvaluatedCopy(spec, model, torch.float32).current() is model
