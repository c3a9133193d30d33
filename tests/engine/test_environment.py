"""What a run says about the GPU that computes, and what it sets up for it."""

import json
import logging
from pathlib import Path

import pytest
import torch

from kdvideo import device as devices
from kdvideo.config import load_config
from kdvideo.engine import environment
from kdvideo.engine.environment import computing, describe_run
from kdvideo.engine.run_folder import RunFolder

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
GPU = {"name": "NVIDIA X", "compute_capability": "9.0", "driver": "580.65", "cuda": "13.0", "cudnn": 91900}


def arithmetic() -> tuple[str, bool, bool]:
    """What the process' convolutions compute in, and whether their kernels are the same each time or measured."""
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark


@pytest.mark.parametrize(
    ("precision", "deterministic", "expected", "said"),
    [
        ("fp32", True, ("ieee", True, False), "fp32, convolutions with the same bits each time"),
        ("tf32", False, ("tf32", False, True), "tf32, the fastest kernels, other bits each time"),
        ("bf16", True, ("ieee", True, False), "bf16, convolutions with the same bits each time"),
    ],
)
def test_a_run_on_a_gpu_says_how_it_computes(
    precision: str,
    deterministic: bool,
    expected: tuple,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """In one line, and the process' own settings come back; an old PyTorch is warned of once more."""
    monkeypatch.setattr(environment, "describe_gpu", lambda device: GPU)
    monkeypatch.setattr(environment, "slow_convolutions", lambda: "torch 2.9 is slow")
    caplog.set_level(logging.INFO, logger="kdvideo")
    before = arithmetic()
    with computing(CUDA, precision=precision, deterministic=deterministic):
        assert arithmetic() == expected
    assert arithmetic() == before
    line, warning = caplog.messages
    assert line.startswith(f"NVIDIA X, driver 580.65, CUDA 13.0, cuDNN 91900; {said}")
    assert warning == "torch 2.9 is slow"


def test_a_run_on_a_cpu_says_nothing(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="kdvideo")
    before = arithmetic()
    with computing(CPU, precision="fp32", deterministic=True):
        assert arithmetic() == before
    assert not caplog.messages


def test_the_environment_has_the_gpu_and_its_arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that whoever compares two runs sees why their last bits differ."""
    monkeypatch.setattr(environment, "describe_gpu", lambda device: GPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA X")
    cfg = load_config(None, ["DATA.ROOT", "/videos", "SOLVER.DETERMINISTIC", "False"])
    for device, gpu in ((CUDA, {**GPU, "amp": "fp32", "deterministic": False}), (CPU, None)):
        describe_run(cfg, RunFolder(tmp_path), device=device)
        assert json.loads((tmp_path / "environment.json").read_text())["gpu"] == gpu


def test_a_gpu_is_described_by_what_its_bits_depend_on(monkeypatch: pytest.MonkeyPatch):
    class Properties:
        name, major, minor, total_memory, uuid = "NVIDIA X", 9, 0, 80 * 2**30, "1"

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91900)
    monkeypatch.setattr(devices, "driver_version", lambda: "580.65")
    described = devices.describe_gpu(CUDA)
    assert described == {**GPU, "cuda": torch.version.cuda, "memory": 80}
