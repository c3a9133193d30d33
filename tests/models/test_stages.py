"""Named stages: the names of all backbones, their maps, and that one pass gives what the others give, to the bit."""

import pytest
import torch
from torch import Tensor, nn

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone, NetBackbone
from kdvideo.models.pcl import takes_option
from kdvideo.registry import BACKBONES

RESIDUAL = ("stem", "stage1", "stage2", "stage3", "stage4")
SPECS = {
    "c3d_sports1m": ClipSpec(clip_len=16, size=48),
    "mvit_v1_b": None,
    "mvit_v2_s": None,
    "s3d": ClipSpec(clip_len=16, size=64),
}
LAST = {"c3d_sports1m": ("linear",), **{name: ("head",) for name in BACKBONES.names() if "x3d" in name}}
HEAVY = ("x3d_l", "swin3d_s", "swin3d_b", "mvit_v1_b")  # same code as a smaller one


@pytest.mark.parametrize("name", [name for name in BACKBONES.names() if name not in HEAVY])
def test_stages(name: str):
    """The names are those of residual networks; the last map is `forward_features`' one, and maps shrink."""
    spec = SPECS.get(name, ClipSpec(clip_len=8, size=48))
    options = {"width": 8} if takes_option(name, "width") else {}
    model = kdvideo.create_model(name, **options, **({"clip_spec": spec} if spec else {})).eval()
    clip = torch.randn(1, 3, model.clip_spec.clip_len, model.clip_spec.size, model.clip_spec.size)
    with torch.no_grad():
        stages, features = model.forward_stages(clip), model.forward_features(clip)
    assert model.stages == tuple(stages) == (*RESIDUAL, *LAST.get(name, ()))
    assert torch.equal(stages[model.stages[-1]], features)
    assert all(stage.dim() == 5 and len(stage) == 1 for stage in stages.values())
    sides = [stage.shape[-1] for stage in stages.values()]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] > sides[-1]


@pytest.mark.parametrize("name", ["c3d", "r3d_10", "r2plus1d_34_mmaction2", "slow_r50", "mvit_v2_s", "swin3d_t", "s3d"])
def test_stage_is_what_its_modules_give(name: str):
    """Nothing behind a stage changes its map: what a hook copied there at once is what is returned."""
    spec = SPECS.get(name, ClipSpec(clip_len=8, size=48))
    options = {"width": 8} if takes_option(name, "width") else {}
    model = kdvideo.create_model(name, **options, **({"clip_spec": spec} if spec else {})).eval()
    seen: list[Tensor] = []
    for module in model.modules():
        module.register_forward_hook(lambda module, args, output: seen.append(_first(output).clone()))
    clip = torch.randn(1, 3, model.clip_spec.clip_len, model.clip_spec.size, model.clip_spec.size)
    with torch.no_grad():
        stages = model.forward_stages(clip)
    for stage in (name for name in list(stages)[:-1]):
        flat = stages[stage].flatten(2).transpose(1, 2).flatten()
        assert any(flat.equal(values) for output in seen for values in _in_any_order(output, flat.numel())), stage


def _first(output) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _in_any_order(output: Tensor, numel: int) -> list[Tensor]:
    """Returns a module's output as `[B, places, D]`, flat: of a map, a map with channels last, or of tokens."""
    tokens = output[:, 1:].flatten() if output.dim() == 3 else None
    maps = [output.flatten(2).transpose(1, 2).flatten(), output.flatten()] if output.dim() == 5 else []
    return [values for values in [*maps, *([tokens] if tokens is not None else [])] if values.numel() == numel]


class OneMap(Backbone):
    """A backbone as a user writes one, which says nothing of stages."""

    def __init__(self) -> None:
        super().__init__(num_features=4, clip_spec=ClipSpec(clip_len=2, size=8))
        self.conv = nn.Conv3d(3, 4, 1)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.conv(clip)


def test_own_backbones_have_the_last_map():
    """A backbone of one's own, and blocks whose stages nobody names, have one stage."""
    clip = torch.randn(2, 3, 2, 8, 8)
    blocks = NetBackbone(blocks=[nn.Conv3d(3, 4, 1), nn.ReLU(inplace=True)], num_features=4, clip_spec=ClipSpec())
    for model in (OneMap(), blocks):
        assert model.stages == ("last",)
        stages = model.forward_stages(clip)
        assert list(stages) == ["last"]
        assert torch.equal(stages["last"], model.forward_features(clip))


class ItsOwnStages(OneMap):
    """A backbone as one may have been written before stages had names."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(self.conv)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.stages(clip)


def test_own_module_called_stages():
    """A module of that name still is that module."""
    assert ItsOwnStages()(torch.randn(2, 3, 2, 8, 8)).shape == (2, 4)


def test_gradients_reach_all_stages():
    """A loss on one stage trains what lies before it, and nothing behind."""
    model = kdvideo.create_model("r3d_10", width=8, clip_spec=ClipSpec(clip_len=4, size=32))
    model.forward_stages(torch.randn(2, 3, 4, 32, 32))["stage2"].square().mean().backward()
    trained = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {"0", "1", "2"}
