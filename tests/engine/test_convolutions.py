"""Convolutions in other shapes: the same sums, gradients and names; only where they are asked for."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine import convolutions
from kdvideo.engine.convolutions import convolve_folded, convolve_with_padded_channels, suit_matrix_units
from kdvideo.engine.precision import convolution_errors, find_convolutions, run_in_precision
from kdvideo.models.pcl import build_backbone

# channels in and out; kernel, stride and padding; frames, height and width
FOLDED = {
    "r3d": ((3, 8), (3, 7, 7), (1, 2, 2), (1, 3, 3), (4, 16, 16)),
    "r2plus1d": ((3, 11), (1, 7, 7), (1, 2, 2), (0, 3, 3), (2, 16, 16)),
    "c3d": ((3, 8), (3, 3, 3), (1, 1, 1), (1, 1, 1), (4, 12, 12)),
    "hara": ((3, 4), (7, 7, 7), (1, 2, 2), (3, 3, 3), (4, 12, 12)),
    "odd sizes": ((2, 5), (3, 5, 7), (1, 2, 2), (1, 2, 3), (3, 13, 15)),
    "rows that no kernel reaches": ((1, 8), (1, 3, 3), (1, 2, 2), (0, 0, 0), (2, 12, 14)),
    "kernel of the clip's size": ((4, 8), (3, 5, 5), (1, 1, 1), (0, 0, 0), (3, 5, 5)),
    "one pixel": ((3, 8), (1, 1, 1), (1, 1, 1), (0, 0, 0), (2, 5, 6)),
    "one pixel, stride 2": ((3, 8), (1, 1, 1), (1, 2, 2), (0, 0, 0), (2, 5, 6)),
    "more padding than kernel": ((3, 8), (1, 3, 2), (1, 1, 1), (2, 3, 2), (2, 4, 4)),
    "few frames": ((3, 8), (3, 4, 3), (1, 2, 2), (1, 1, 0), (1, 9, 9)),
}
PADDED = {
    "both": ((83, 42), (3, 1, 1), (1, 1, 1), (1, 0, 0), (4, 5, 5)),
    "input": ((5, 8), (1, 3, 3), (1, 2, 2), (0, 1, 1), (2, 7, 8)),
    "output": ((8, 23), (3, 3, 3), (2, 2, 2), (1, 1, 1), (4, 6, 6)),
}


def build(case: tuple[tuple[int, ...], ...], *, bias: bool, dtype: torch.dtype) -> tuple[nn.Conv3d, Tensor]:
    channels, kernel, stride, padding, size = case
    torch.manual_seed(0)
    conv = nn.Conv3d(*channels, kernel, stride, padding, bias=bias).to(dtype)  # type: ignore[arg-type]
    return conv, torch.randn(2, channels[0], *size, dtype=dtype, requires_grad=True)


def differentiate(output: Tensor, conv: nn.Conv3d, clip: Tensor) -> list[Tensor]:
    weights = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(1))
    return [output, *torch.autograd.grad(output, [clip, *conv.parameters()], weights)]


@pytest.mark.parametrize("pad_output", [False, True])
@pytest.mark.parametrize("name", FOLDED)
def test_folded_is_the_same_sum(name: str, pad_output: bool):
    """Output and all gradients in float64, with bias and without."""
    for bias in (True, False):
        conv, clip = build(FOLDED[name], bias=bias, dtype=torch.float64)
        expected = differentiate(conv(clip), conv, clip)
        torch.testing.assert_close(
            differentiate(convolve_folded(clip, conv, pad_output=pad_output), conv, clip), expected
        )


@pytest.mark.parametrize("name", PADDED)
def test_padded_is_the_same_sum(name: str):
    """Output and all gradients in float64, with bias and without."""
    for bias in (True, False):
        conv, clip = build(PADDED[name], bias=bias, dtype=torch.float64)
        expected = differentiate(conv(clip), conv, clip)
        torch.testing.assert_close(differentiate(convolve_with_padded_channels(clip, conv), conv, clip), expected)


def count_convolutions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Returns a list to which each 2D convolution adds its input and its weight."""
    calls, convolve = [], torch.conv2d

    def note(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        calls.append((inputs, weight))
        return convolve(inputs, weight, bias)

    monkeypatch.setattr(convolutions.F, "conv2d", note)
    return calls


@pytest.mark.parametrize("name", ["r3d", "r2plus1d", "c3d"])
def test_one_convolution_with_innermost_channels(name: str, monkeypatch: pytest.MonkeyPatch):
    """It is 2D, input and weight have a multiple of 8 channels, and all three are laid out as kernels want them."""
    conv, clip = build(FOLDED[name], bias=False, dtype=torch.float32)
    calls = count_convolutions(monkeypatch)
    output = convolve_folded(clip, conv)
    ((inputs, weight),) = calls
    assert inputs.shape[1] == weight.shape[1]
    assert inputs.shape[1] % 8 == 0
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("name", ["both", "input", "output"])
def test_padded_gradients_have_innermost_channels(name: str, monkeypatch: pytest.MonkeyPatch):
    """What reaches the convolution, and the gradient that comes back to it, so that no kernel copies them."""
    conv, clip = build(PADDED[name], bias=False, dtype=torch.float32)
    seen, convolve = [], torch.conv3d

    def note(inputs: Tensor, weight: Tensor, *options: Any) -> Tensor:
        output = convolve(inputs, weight, *options)
        seen.extend([inputs, weight])
        output.register_hook(seen.append)
        return output

    monkeypatch.setattr(convolutions.F, "conv3d", note)
    layout = {"memory_format": torch.channels_last_3d}
    output = convolve_with_padded_channels(clip.contiguous(**layout), conv.to(**layout))
    output.backward(torch.ones_like(output, **layout))
    assert [each.is_contiguous(**layout) for each in seen] == [True, True, True]


@pytest.mark.parametrize("name", ["r3d_10", "r2plus1d_10", "c3d", "r3d_18_hara"])
def test_only_where_asked_for(name: str, monkeypatch: pytest.MonkeyPatch):
    """On a CPU and without autocast to the bit what is written; on "GPUs" near it; tensors keep names and values."""
    torch.manual_seed(0)
    backbone = build_backbone(name, width=8, clip_spec=ClipSpec(clip_len=8, size=32)).eval()
    clip, calls = torch.randn(2, 3, 8, 32, 32), count_convolutions(monkeypatch)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with torch.no_grad():
        plain = backbone(clip)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            plain_autocast = backbone(clip)
        stem = [n for n, part in backbone.named_modules() if isinstance(part, nn.Conv3d) and part.in_channels == 3]
        assert suit_matrix_units(backbone, compiled=False) == stem
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(backbone(clip), plain_autocast)
            monkeypatch.setattr(convolutions, "DEVICES", {"cpu"})
            assert not calls
            fast = backbone(clip)
        assert torch.equal(backbone(clip), plain)
    assert len(calls) == 1
    assert fast.dtype == plain_autocast.dtype
    assert (fast - plain).norm() < 0.05 * plain.norm()  # eps of bf16 is 2^-8
    after = backbone.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_convolutions_that_stay():
    """Strides in time, groups, dilation and other paddings are not folded; even channels are not padded."""
    network = nn.ModuleDict(
        {
            "time": nn.Conv3d(3, 8, 3, stride=2),
            "uneven": nn.Conv3d(3, 8, 3, stride=(1, 2, 1)),
            "dilated": nn.Conv3d(3, 8, 3, dilation=2),
            "same": nn.Conv3d(3, 8, 3, padding="same"),
            "reflect": nn.Conv3d(3, 8, 3, padding=1, padding_mode="reflect"),
            "grouped": nn.Conv3d(10, 10, 3, groups=2),
            "even": nn.Conv3d(8, 16, 3),
            "odd": nn.Conv3d(9, 16, 3),
        }
    )
    assert suit_matrix_units(network, compiled=False) == []
    assert suit_matrix_units(network, compiled=True) == ["odd"]


@pytest.mark.parametrize("pad_output", [False, True])
def test_without_gradients(pad_output: bool):
    """There the weights reach the convolution another way, which the compiler keeps; the sums are the same."""
    conv, clip = build(FOLDED["r2plus1d"], bias=True, dtype=torch.float64)
    padded, inputs = build(PADDED["both"], bias=True, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(convolve_folded(clip, conv, pad_output=pad_output), conv(clip))
        torch.testing.assert_close(convolve_with_padded_channels(inputs, padded), padded(inputs))


def test_the_check_sees_what_runs(monkeypatch: pytest.MonkeyPatch):
    """A wrong weight of the folded form is found, because fp32 computes as written."""
    monkeypatch.setattr(convolutions, "DEVICES", {"cpu"})
    backbone = build_backbone("r3d_10", width=8, clip_spec=ClipSpec(clip_len=4, size=16))
    suit_matrix_units(backbone, compiled=False)
    stem = find_convolutions(backbone, num_clips=2, device=torch.device("cpu"))[0]
    assert 0 < max(convolution_errors(stem, torch.bfloat16, everything=True).values()) < 0.02
    fold = convolutions._fold_weight
    monkeypatch.setattr(convolutions, "_fold_weight", lambda conv: 1.5 * fold(conv))
    assert min(convolution_errors(stem, torch.bfloat16, everything=True).values()) > 0.4


@pytest.mark.parametrize("name", ["r3d_10", "r2plus1d_10", "c3d"])
def test_the_compiler_sees_one_graph(name: str, monkeypatch: pytest.MonkeyPatch):
    """No break, forward and backward, and the features are those of the network as written."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    monkeypatch.setattr(convolutions, "DEVICES", {"cpu"})
    torch.manual_seed(0)
    backbone = build_backbone(name, width=12, clip_spec=ClipSpec(clip_len=8, size=16)).eval()
    clip = torch.randn(2, 3, 8, 16, 16)
    plain = backbone(clip)
    assert len(suit_matrix_units(backbone, compiled=True)) > 1
    run_in_precision(backbone, torch.bfloat16, compiled=True, frozen=True)
    features = backbone(clip)
    assert (features - plain).norm() < 0.05 * plain.norm()  # bf16 through ten layers
    features.square().sum().backward()
    torch.compiler.reset()  # it keeps a few graphs only for all networks of a process
    assert all(parameter.grad is not None for parameter in backbone.parameters())
