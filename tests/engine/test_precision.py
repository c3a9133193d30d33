"""Reduced precision: wrong weight gradients are found, named and made right; evaluation stays in fp32."""

import logging
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.engine import precision
from kdvideo.engine.precision import (
    LARGEST_ERROR,
    ConvolutionUse,
    compile_preparation,
    convolution_errors,
    find_convolutions,
    guard_convolutions,
    prepare_frozen,
    run_in_precision,
)
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import build_backbone, build_pcl_model
from kdvideo.tasks.preparation import ClipPreparation

CPU = torch.device("cpu")
CLIP = ClipSpec(clip_len=16, size=32)  # as in full training: the last stage has two time steps
FEW_STEPS = {  # whose input has fewer time steps than their kernel
    "r3d_10": ["blocks.4.res_blocks.0.branch2.conv_b"],
    "r2plus1d_10": ["blocks.4.res_blocks.0.branch2.conv_b.conv_t"],
    "c3d": ["blocks.6.conv", "blocks.7.conv"],
}


def build(name: str, *, width: int = 16) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(name, width=width, clip_spec=CLIP).to(memory_format=torch.channels_last_3d)


def has_the_bug() -> bool:
    """Whether this processor's bf16 kernel is wrong for two time steps and a kernel of three."""
    conv = nn.Conv3d(64, 64, 3, padding=1)
    shape = torch.Size((2, 64, 2, 4, 4))
    use = ConvolutionUse("", conv, shape, torch.empty(shape).stride())
    return convolution_errors(use, torch.bfloat16)["weight gradient"] > 0.5


@pytest.mark.parametrize("name", FEW_STEPS)
def test_every_convolution_is_right_under_the_policy(name: str, caplog: pytest.LogCaptureFixture):
    """Within 2 % of fp32, and where the processor has the bug, those that it hits are named, no others."""
    backbone = build(name, width=64 if has_the_bug() else 16)
    caplog.set_level(logging.INFO, logger="kdvideo")
    wrong = guard_convolutions(backbone, torch.bfloat16, num_clips=2, device=CPU)
    assert wrong == (FEW_STEPS[name] if has_the_bug() else [])
    named = [record.getMessage().partition(":")[0] for record in caplog.records if record.levelname == "WARNING"]
    assert named == wrong
    uses = find_convolutions(backbone, num_clips=2, device=CPU)
    assert {use.name for use in uses} == {n for n, part in backbone.named_modules() if isinstance(part, nn.Conv3d)}
    assert max(convolution_errors(use, torch.bfloat16)["weight gradient"] for use in uses) <= LARGEST_ERROR


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor) -> Tensor:
        return weight.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * 1.5


class _Broken(nn.Conv3d):
    """As a processor with a bug would have it: wrong in bf16, for few time steps only or always."""

    few_steps_only = True

    def forward(self, clip: Tensor) -> Tensor:
        broken = torch.is_autocast_enabled("cpu") and (not self.few_steps_only or clip.shape[2] < self.kernel_size[0])
        weight = _WrongGradient.apply(self.weight) if broken else self.weight
        return self._conv_forward(clip, weight, self.bias)


class _TwoSteps(Backbone):
    def __init__(self) -> None:
        super().__init__(num_features=4, clip_spec=ClipSpec(clip_len=2, size=8))
        self.conv = _Broken(3, 4, 3, padding=1)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.conv(clip)


@pytest.mark.parametrize(("few_steps_only", "how"), [(True, "padding in time is made explicit"), (False, "in fp32")])
def test_what_is_wrong_is_made_right(few_steps_only: bool, how: str, caplog: pytest.LogCaptureFixture):
    """By explicit padding, and in fp32 where that is not offered; the output stays the same."""
    backbone = _TwoSteps()
    backbone.conv.few_steps_only = few_steps_only
    backbone.conv.padding_mode = "zeros" if few_steps_only else "replicate"
    clip = torch.randn(2, 3, 2, 8, 8)
    before = backbone(clip)
    assert guard_convolutions(backbone, torch.bfloat16, num_clips=2, device=CPU) == ["conv"]
    assert "conv: the weight gradient in torch.bfloat16 is off by 50%" in caplog.text
    assert how in caplog.text
    torch.testing.assert_close(backbone(clip), before)
    (use,) = find_convolutions(backbone, num_clips=2, device=CPU)
    assert convolution_errors(use, torch.bfloat16)["weight gradient"] <= LARGEST_ERROR


class _WrongForward(nn.Conv3d):
    """As cuDNN 9.8 to 9.10 had it for large inputs: a wrong output, with a right weight gradient."""

    def forward(self, clip: Tensor) -> Tensor:
        return super().forward(clip) + 0.1 * torch.is_autocast_enabled("cpu")


class _WrongInputGradient(nn.Conv3d):
    """A wrong gradient of the clip alone."""

    def forward(self, clip: Tensor) -> Tensor:
        wrong = torch.is_autocast_enabled("cpu") and clip.requires_grad
        return super().forward(_WrongGradient.apply(clip) if wrong else clip)


@pytest.mark.parametrize(
    ("kind", "wrong"), [(_WrongForward, "output"), (_WrongInputGradient, "input gradient"), (nn.Conv3d, None)]
)
def test_output_and_input_gradient_are_compared_where_asked(kind: type[nn.Conv3d], wrong: str | None):
    """As on GPUs, where outputs have been seen wrong; nothing but what is wrong is called so."""
    torch.manual_seed(0)
    conv = kind(3, 4, 3, padding=1)
    shape = torch.Size((2, 3, 8, 8, 8))
    use = ConvolutionUse("conv", conv, shape, torch.empty(shape).stride())
    errors = convolution_errors(use, torch.bfloat16, everything=True)
    assert list(errors) == ["weight gradient", "input gradient", "output"]
    assert [name for name, error in errors.items() if error > LARGEST_ERROR] == ([wrong] if wrong else [])
    assert list(convolution_errors(use, torch.bfloat16)) == ["weight gradient"]
    assert conv.weight.grad is None


def test_looking_changes_nothing():
    """No statistics, no gradient, no hook, and the mode is what it was."""
    backbone = build("r3d_10", width=4).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    guard_convolutions(backbone, torch.bfloat16, num_clips=2, device=CPU)
    assert backbone.training
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert not any(part._forward_pre_hooks for part in backbone.modules())


def test_autocast_in_training_only():
    """Features are fp32 in either mode; in eval mode they are fp32's own; tensors keep their names."""
    backbone = build("r3d_10", width=4)
    clip = torch.randn(2, 3, 16, 32, 32)
    names = list(backbone.state_dict())
    with torch.no_grad():
        exact = {mode: backbone.train(mode)(clip) for mode in (True, False)}
        statistics = {key: value.clone() for key, value in backbone.state_dict().items()}
        run_in_precision(backbone, torch.bfloat16)
        assert torch.equal(backbone.eval()(clip), exact[False])
        trained = backbone.train()(clip)
    assert trained.dtype == torch.float32
    # eps of bf16 is 2^-8; BatchNorm keeps the errors of five layers from growing
    assert 0 < (trained - exact[True]).norm() < 0.05 * exact[True].norm()
    assert list(backbone.state_dict()) == names == list(statistics)


@pytest.mark.parametrize("name", FEW_STEPS)
def test_a_frozen_network_keeps_its_weights_in_reduced_precision(name: str, monkeypatch: pytest.MonkeyPatch):
    """To the bit what autocast gives, which would cast them in each forward."""
    clip, features = torch.randn(2, 3, 16, 32, 32), {}
    for kept in (True, False):
        backbone = build(name, width=8)
        if not kept:
            monkeypatch.setattr(precision, "_CAST_BY_AUTOCAST", frozenset())
        prepare_frozen(backbone, torch.bfloat16)
        assert {parameter.dtype for parameter in backbone.parameters()} == {torch.bfloat16 if kept else torch.float32}
        with torch.no_grad():
            features[kept] = backbone(clip)
    assert torch.equal(features[True], features[False])


@pytest.mark.parametrize("name", FEW_STEPS)
@pytest.mark.parametrize("frozen", [True, False])
def test_the_compiler_sees_one_graph(name: str, frozen: bool, monkeypatch: pytest.MonkeyPatch):
    """From prepared clips to features, autocast included. A break would keep passes from being fused."""
    compile_whole = partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", compile_whole)
    backbone = build(name, width=4).train(not frozen)
    if frozen:
        backbone.requires_grad_(False)
        prepare_frozen(backbone, torch.bfloat16, compiled=True)
    else:
        run_in_precision(backbone, torch.bfloat16, compiled=True)
    features = backbone(torch.randn(2, 3, 16, 32, 32))
    assert features.dtype == torch.float32
    assert features.requires_grad != frozen
    preparation = ClipPreparation(CLIP)
    compile_preparation(nn.ModuleList([preparation]))
    clips = torch.randint(0, 256, (2, 3, 3, 16, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(preparation(clips), prepare_clips(clips, CLIP))


def test_teacher_is_folded_and_in_reduced_precision():
    """All its BatchNorms go; in fp32 its answers stay, in bf16 they are near, always given as fp32."""
    clips = torch.randn(2, 3, 3, 16, 32, 32)
    answers = {}
    for dtype in (None, torch.float32, torch.bfloat16):
        teacher = build_pcl_model(build("r3d_10", width=8)).eval()
        teacher.load_state_dict(build_pcl_model(build("r3d_10", width=8)).state_dict())
        torch.manual_seed(1)
        for head in (teacher.pretext_head, teacher.projection_head):
            for parameter in head.parameters():
                nn.init.normal_(parameter, std=0.1)
        if dtype is not None:
            prepare_frozen(teacher, dtype)
            assert not any(isinstance(part, nn.BatchNorm3d) for part in teacher.modules())
        with torch.no_grad():
            answers[dtype] = teacher(clips)["pretext_logits"]
    torch.testing.assert_close(answers[torch.float32], answers[None], rtol=1e-4, atol=1e-5)
    assert answers[torch.bfloat16].dtype == torch.float32
    assert 0 < (answers[torch.bfloat16] - answers[None]).norm() < 0.05 * answers[None].norm()
