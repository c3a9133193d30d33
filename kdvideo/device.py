"""The device that computes, and the arithmetic of a GPU while a block runs."""

import ctypes
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = [
    "choose_device",
    "choose_kernels",
    "describe_gpu",
    "driver_version",
    "float32_convolutions",
    "slow_convolutions",
]

_CUDNN_IS_USED_FROM = 91500  # torch 2.9 leaves out an older cuDNN, for its errors in 3D convolutions


def choose_device(name: str = "") -> torch.device:
    """Returns the device of a name.

    Args:
        name: "cpu", "cuda" or, for one of several GPUs, "cuda:1". Defaults to the GPU if there is one.

    Raises:
        ValueError: there is no such device.
    """
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
        raise ValueError(f"`device` is {name!r}; it must be cpu, cuda or, for one of several GPUs, cuda:N")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        raise ValueError(f"`device` is {name}, but PyTorch can use no GPU: give cpu; `kdvideo doctor` says more")
    if (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"`device` is {name}, but the last GPU here is cuda:{last}")
    return device


@contextmanager
def float32_convolutions(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Chooses what convolutions of fp32 tensors on a GPU compute in while the block runs.

    By PyTorch's default they compute in TF32, which rounds their inputs to 11 bits. Matrix products are always in fp32
    here. The process' own settings come back after the block. On a CPU, nothing changes.

    Args:
        device: the device that computes.
        tf32: whether convolutions may use TF32, which is several times faster.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    before = (_old_setting(), cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision)
    precision = "tf32" if tf32 else "ieee"
    _set_precision(tf32, precision, precision, "ieee")
    try:
        yield
    finally:
        _set_precision(*before)


@contextmanager
def choose_kernels(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Chooses how cuDNN finds a convolution's kernels while the block runs. On a CPU, nothing changes.

    Args:
        device: the device that computes.
        deterministic: whether the same convolution gives the same bits each time. If not, cuDNN measures the kernels
            for each new shape and takes the fastest, which may be another one in another process.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def describe_gpu(device: torch.device) -> dict[str, Any]:
    """Returns what the last bits of a GPU's results depend on, and its memory in GiB."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory": round(properties.total_memory / 2**30),
        "driver": driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def driver_version() -> str | None:
    """Returns the version of NVIDIA's driver, which its own library says. None without a driver."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(80)
        if nvml.nvmlInit_v2() or nvml.nvmlSystemGetDriverVersion(text, len(text)):
            return None
        nvml.nvmlShutdown()
    except (OSError, AttributeError):
        return None
    return text.value.decode()


def slow_convolutions() -> str | None:
    """Returns a warning if this PyTorch computes 3D convolutions on a GPU without cuDNN. None if it uses cuDNN."""
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    if cudnn is None or cudnn >= _CUDNN_IS_USED_FROM or not torch.__version__.startswith("2.9."):
        return None
    return (
        f"torch {torch.__version__} with cuDNN {cudnn} computes convolutions of clips in bf16 and fp16 without cuDNN, "
        "which takes several times the time and memory: install torch 2.10 or newer, or cuDNN 9.15 or newer"
    )


def _old_setting() -> bool | None:
    """Returns the older switch for TF32. None where the process has used both kinds, which PyTorch refuses to read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 recommends the newer switches
        try:
            return torch.backends.cudnn.allow_tf32
        except RuntimeError:
            return None


def _set_precision(old: bool | None, conv: str, rnn: str, matmul: str) -> None:
    # The older switch comes first, since it sets the newer ones. PyTorch raises if somebody reads it and they disagree.
    cudnn: Any = torch.backends.cudnn
    if old is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cudnn.allow_tf32 = old
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = conv, rnn
    products: Any = torch.backends.cuda.matmul
    products.fp32_precision = matmul
