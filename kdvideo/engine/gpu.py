"""What the GPUs of this machine are and do, for `kdvideo doctor`."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from kdvideo.device import describe_gpu, driver_version, slow_convolutions
from kdvideo.engine.precision import LARGEST_ERROR, ConvolutionUse, convolution_errors
from kdvideo.errors import first_line
from kdvideo.requirements import Finding

__all__ = ["examine_gpus"]

_SIZE = 4096  # of the matrices; large enough to fill every GPU, and 20 products take a second on a slow one
_NUM_PRODUCTS = 20
_CLIPS = (8, 64, 16, 56, 56)  # as large as in a real batch, because cuDNN has been wrong for large inputs alone


def examine_gpus() -> Iterator[Finding]:
    """Looks at each GPU, its speed and its convolutions; or says why there is one that PyTorch cannot use."""
    if not torch.cuda.is_available():
        yield _unusable() if _gpu_is_there() else Finding("GPU", "none: everything runs on the CPU")
        return
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        yield Finding("GPU", f"cuda:{number}, {_words(device)}")
        yield _look_at_speed(device)
        yield _look_at_convolutions(device)
    if slow := slow_convolutions():
        found, _, advice = slow.partition(": ")
        yield Finding("convolutions", found, advice)


def product_rate(device: torch.device, *, size: int = _SIZE) -> float:
    """Measures operations per second of products of two random bf16 matrices of `size x size` on a GPU."""
    one, other = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    product = one @ other  # the first one loads the kernels
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(_NUM_PRODUCTS):
        torch.mm(one, other, out=product)
    end.record()
    end.synchronize()
    return _NUM_PRODUCTS * 2 * size**3 / (begin.elapsed_time(end) / 1e3)


def _gpu_is_there() -> bool:
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def _unusable() -> Finding:
    """Says why PyTorch cannot use a GPU that is there."""
    if torch.version.cuda is None:
        found = f"one is there, but this PyTorch, {torch.__version__}, is built without CUDA"
        return Finding("GPU", found, "install a PyTorch with CUDA, as https://pytorch.org/get-started says")
    try:
        torch.cuda.init()
        reason = "it finds no device"
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
    return Finding(
        "GPU",
        f"one is there, but PyTorch cannot use it ({reason}); driver {driver_version() or 'not found'}",
        f"look whether CUDA_VISIBLE_DEVICES hides it; else install a driver for CUDA {torch.version.cuda}, or a "
        "PyTorch for an older CUDA",
    )


def _words(device: torch.device) -> str:
    gpu = describe_gpu(device)
    return (
        f"{gpu['name']}, {gpu['memory']} GiB, compute capability {gpu['compute_capability']}, driver {gpu['driver']}, "
        f"CUDA {gpu['cuda']}, cuDNN {gpu['cudnn']}"
    )


def _look_at_speed(device: torch.device) -> Finding:
    what = "GPU speed"
    with torch.cuda.device(device):
        try:
            rate = product_rate(device)
        except RuntimeError as error:  # another process may have filled it
            return Finding(what, f"cannot be measured ({first_line(error)})", "see with nvidia-smi who uses it")
    advice = (
        "" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16 in hardware: use SOLVER.AMP fp16"
    )
    return Finding(what, f"{rate / 1e12:.3g} TFLOP/s in products of bf16 matrices", advice)


def _look_at_convolutions(device: torch.device) -> Finding:
    what = "GPU training"
    convolution = nn.Conv3d(64, 64, 3, padding=1, bias=False, device=device)
    clips = torch.empty(_CLIPS, device="meta").to(memory_format=torch.channels_last_3d)
    use = ConvolutionUse("conv", convolution, clips.shape, clips.stride())
    try:
        errors = convolution_errors(use, torch.bfloat16, everything=True)
    except RuntimeError as error:
        return Finding(what, f"cannot be checked ({first_line(error)})", "see with nvidia-smi who uses it")
    largest = max(errors.values())
    if largest <= LARGEST_ERROR:
        return Finding(what, f"bf16 convolutions are right (within {largest:.1%})")
    wrong = ", ".join(name for name, error in errors.items() if not error <= LARGEST_ERROR)
    off = f"{largest:.0%}" if math.isfinite(largest) else "not finite"
    advice = "nothing: SOLVER.AMP bf16 finds them and computes them in another way; a newer cuDNN may mend them"
    return Finding(what, f"bf16 convolutions are wrong: {wrong} ({off})", advice)
