"""A GPU computes what it is asked for: fp32, the same bits each time, right convolutions; and it says what it is."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdvideo.device import choose_device, choose_kernels, describe_gpu, float32_convolutions
from kdvideo.engine.gpu import examine_gpus
from kdvideo.engine.precision import LARGEST_ERROR, ConvolutionUse, convolution_errors

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def convolve(*, tf32: bool) -> float:
    """The relative error of a convolution of fp32 tensors against float64 on the CPU."""
    torch.manual_seed(0)
    device = choose_device()
    clip, weight = torch.randn(2, 32, 8, 16, 16), torch.randn(32, 32, 3, 3, 3)
    exact = F.conv3d(clip.double(), weight.double(), padding=1)
    with float32_convolutions(device, tf32=tf32):
        found = F.conv3d(clip.to(device), weight.to(device), padding=1).cpu().double()
    return ((found - exact).norm() / exact.norm()).item()


def test_fp32_is_fp32():
    """Sums of 864 products in float32 are within 1e-6, by other algorithms within 1e-5; TF32 would be off by 3e-4."""
    assert convolve(tf32=False) < 1e-5
    assert convolve(tf32=True) < 2e-3


def test_gradients_have_the_same_bits_each_time():
    """Of a convolution whose fastest weight gradient may add in any order."""
    device = choose_device()
    torch.manual_seed(0)
    conv = nn.Conv3d(64, 64, 3, padding=1, bias=False, device=device).to(memory_format=torch.channels_last_3d)
    clip = torch.randn(8, 64, 16, 28, 28, device=device).requires_grad_()
    gradient = torch.randn_like(clip)
    with choose_kernels(device, deterministic=True), torch.autocast("cuda", dtype=torch.bfloat16):
        results = [torch.autograd.grad(conv(clip), [conv.weight, clip], gradient.bfloat16()) for _ in range(5)]
    for result in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], result, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_convolutions_are_right(dtype: torch.dtype):
    """Output and both gradients, at two of the shapes of a real network."""
    device = choose_device()
    for kernel, shape in (((3, 3, 3), (4, 64, 16, 28, 28)), ((1, 3, 3), (8, 45, 16, 56, 56))):
        conv = nn.Conv3d(shape[1], 64, kernel, padding=tuple(size // 2 for size in kernel), device=device)
        clips = torch.empty(shape, device="meta").to(memory_format=torch.channels_last_3d)
        use = ConvolutionUse("conv", conv, clips.shape, clips.stride())
        assert max(convolution_errors(use, dtype, everything=True).values()) <= LARGEST_ERROR


def test_a_full_gpu_is_called_full():
    """Not a short clip. The limit counts what a process reserves, so no earlier test may have left it a free block."""
    program = """
import torch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.build import build_model
from kdvideo.models.spec import ModelSpec
torch.cuda.set_per_process_memory_fraction(1e-4)  # 8 MB of 80 GB, for 57 MB of weights
try:
    build_model(ModelSpec("r3d_10", {"width": 64}, ClipSpec(clip_len=16, size=32), "none"), torch.device("cuda"))
except MemoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the GPU is out of memory: lower MODEL.WIDTH")


def test_the_doctor_looks_at_it():
    """Driver and cuDNN are known, a rate is measured, and the convolutions are right."""
    gpu = describe_gpu(choose_device())
    assert gpu["driver"]
    assert gpu["cudnn"] > 90000
    what, speed, training = list(examine_gpus())[:3]
    assert gpu["name"] in what.found
    assert "TFLOP/s" in speed.found
    assert "are right" in training.found
