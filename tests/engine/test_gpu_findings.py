"""What `kdvideo doctor` says about GPUs, with facts that no machine here has."""

from contextlib import nullcontext

import pytest
import torch

from kdvideo.engine import gpu
from kdvideo.requirements import Finding

H100 = {
    "name": "NVIDIA H100",
    "compute_capability": "9.0",
    "memory": 79,
    "driver": "580.65",
    "cuda": "13.0",
    "cudnn": 91900,
}


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with a good GPU, of which a test spoils one fact."""
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "device": lambda device: nullcontext(),
        "is_bf16_supported": lambda including_emulation: True,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    right = {"weight gradient": 0.003, "output": 0.002}
    for name, value in {
        "describe_gpu": lambda device: H100,
        "slow_convolutions": lambda: None,
        "product_rate": lambda device: 6.5e14,
        "convolution_errors": lambda *_, **__: right,
        "nn": FakeLayers,
    }.items():
        monkeypatch.setattr(gpu, name, value)
    return monkeypatch


class FakeLayers:
    """Layers that need no GPU."""

    @staticmethod
    def Conv3d(*arguments, device: torch.device, **options) -> torch.nn.Module:
        return torch.nn.Conv3d(*arguments, **options)


def test_a_good_gpu_has_three_lines(one_gpu: pytest.MonkeyPatch):
    """What it is, how fast, and that its convolutions are right; nothing to do."""
    assert list(gpu.examine_gpus()) == [
        Finding("GPU", "cuda:0, NVIDIA H100, 79 GiB, compute capability 9.0, driver 580.65, CUDA 13.0, cuDNN 91900"),
        Finding("GPU speed", "650 TFLOP/s in products of bf16 matrices"),
        Finding("GPU training", "bf16 convolutions are right (within 0.3%)"),
    ]


def test_wrong_convolutions_and_an_old_torch_are_said(one_gpu: pytest.MonkeyPatch):
    errors = {"weight gradient": 0.003, "output": float("inf")}
    one_gpu.setattr(gpu, "convolution_errors", lambda *_, **__: errors)
    one_gpu.setattr(gpu, "slow_convolutions", lambda: "torch 2.9 is slow: install torch 2.10 or newer")
    one_gpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    _, speed, training, old = gpu.examine_gpus()
    assert speed.advice == "no bf16 in hardware: use SOLVER.AMP fp16"
    assert training.found == "bf16 convolutions are wrong: output (not finite)"
    assert training.advice.startswith("nothing: SOLVER.AMP bf16 finds them")
    assert old == Finding("convolutions", "torch 2.9 is slow", "install torch 2.10 or newer")


def test_a_full_gpu_hides_nothing_else(one_gpu: pytest.MonkeyPatch):
    """Each look fails on its own."""

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB")

    one_gpu.setattr(gpu, "product_rate", fail)
    one_gpu.setattr(gpu, "convolution_errors", fail)
    found = [one.found for one in gpu.examine_gpus()]
    assert found[0].startswith("cuda:0, NVIDIA H100")
    assert found[1:] == [f"cannot be {what} (CUDA out of memory.)" for what in ("measured", "checked")]


def test_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "_gpu_is_there", lambda: False)
    assert list(gpu.examine_gpus()) == [Finding("GPU", "none: everything runs on the CPU")]


@pytest.mark.parametrize(
    ("built_for", "driver", "found", "advice"),
    [
        (None, "580.65", "is built without CUDA", "install a PyTorch with CUDA"),
        (
            "13.0",
            "535.1",
            "PyTorch cannot use it (The NVIDIA driver is too old); driver 535.1",
            "a driver for CUDA 13.0",
        ),
        ("13.0", None, "driver not found", "CUDA_VISIBLE_DEVICES hides it"),
    ],
)
def test_a_gpu_that_pytorch_cannot_use(
    built_for: str | None, driver: str | None, found: str, advice: str, monkeypatch: pytest.MonkeyPatch
):
    """It would run on the CPU without a word; the doctor says what to install."""

    def init() -> None:
        raise RuntimeError("The NVIDIA driver is too old\nPlease update")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(gpu, "_gpu_is_there", lambda: True)
    monkeypatch.setattr(gpu, "driver_version", lambda: driver)
    (one,) = gpu.examine_gpus()
    assert found in one.found
    assert advice in one.advice
