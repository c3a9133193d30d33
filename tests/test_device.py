"""The device that computes: its name, its arithmetic, and that a process' own settings come back."""

import re
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from kdvideo import device as devices
from kdvideo.device import choose_device, choose_kernels, float32_convolutions, slow_convolutions

CUDA, CPU = torch.device("cuda"), torch.device("cpu")  # the settings can be changed without a GPU


def settings() -> tuple:
    """All that is changed, by the older and by the newer switches."""
    cudnn = torch.backends.cudnn
    return (
        cudnn.allow_tf32,
        cudnn.conv.fp32_precision,
        cudnn.rnn.fp32_precision,
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
        cudnn.deterministic,
        cudnn.benchmark,
    )


@pytest.fixture(params=["defaults", "older switch", "newer switches"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple]:
    """What the host has set up, in one of the two ways that PyTorch knows."""
    default = settings()
    if request.param == "older switch":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    elif request.param == "newer switches":
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    yield settings()
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = default[0], default[-1]
    torch.backends.cudnn.conv.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = default[1:3]
    torch.backends.cuda.matmul.fp32_precision = default[3]
    assert settings() == default


@pytest.mark.parametrize(("tf32", "precision"), [(False, "ieee"), (True, "tf32")])
def test_convolutions_in_fp32_are_in_fp32(before: tuple, tf32: bool, precision: str):
    """Also by the older switch, which PyTorch refuses to read if it disagrees; products never use TF32."""
    with suppress(KeyError), float32_convolutions(CUDA, tf32=tf32):
        assert settings()[:6] == (tf32, precision, precision, "ieee", False, "highest")
        with float32_convolutions(CUDA, tf32=False):  # an evaluation within a run
            assert settings()[:2] == (False, "ieee")
        assert settings()[:2] == (tf32, precision)
        raise KeyError
    assert settings() == before


def test_a_process_that_has_mixed_both_switches_goes_on():
    """PyTorch refuses to say what its older switch is; what computes is set and comes back all the same."""
    conv = torch.backends.cudnn.conv
    own = conv.fp32_precision
    try:
        conv.fp32_precision = "ieee"
        with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
            _ = torch.backends.cudnn.allow_tf32
        with float32_convolutions(CUDA, tf32=True):
            assert conv.fp32_precision == "tf32"
        assert conv.fp32_precision == "ieee"
    finally:
        torch.backends.cudnn.allow_tf32 = own == "tf32"


@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_are_the_same_each_time_or_the_fastest(before: tuple, deterministic: bool):
    with suppress(KeyError), choose_kernels(CUDA, deterministic=deterministic):
        assert settings()[-2:] == (deterministic, not deterministic)
        raise KeyError
    assert settings() == before


def test_a_cpu_run_changes_nothing(before: tuple):
    with float32_convolutions(CPU, tf32=False), choose_kernels(CPU, deterministic=False):
        assert settings() == before


@pytest.mark.parametrize(
    ("name", "gpus", "message"),
    [
        ("gpu", 2, "`device` is 'gpu'; it must be cpu, cuda or, for one of several GPUs, cuda:N"),
        ("cuda:x", 2, "it must be cpu, cuda or"),
        ("cuda:-1", 2, "it must be cpu, cuda or"),
        ("cuda:2", 2, "`device` is cuda:2, but the last GPU here is cuda:1"),
        ("cuda", 0, "`device` is cuda, but PyTorch can use no GPU: give cpu"),
    ],
)
def test_a_wrong_device_is_one_line(name: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, gpus=gpus)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_a_device_has_its_name(monkeypatch: pytest.MonkeyPatch):
    """Without a name it is the GPU if there is one."""
    pretend(monkeypatch, gpus=2)
    assert [str(choose_device(name)) for name in ("", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    pretend(monkeypatch, gpus=0)
    assert str(choose_device()) == "cpu"


@pytest.mark.parametrize(
    ("version", "cudnn", "warned"),
    [("2.9.1+cu128", 91002, True), ("2.9.1+cu128", 91500, False), ("2.10.0+cu130", 91002, False)],
)
def test_torch_without_cudnn_is_warned_of(version: str, cudnn: int, warned: bool, monkeypatch: pytest.MonkeyPatch):
    """As PyTorch's issue 166122 has it; nobody without a GPU hears of it."""
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
    pretend(monkeypatch, gpus=0)
    assert slow_convolutions() is None
    pretend(monkeypatch, gpus=1)
    assert (slow_convolutions() is not None) == warned


def test_the_driver_says_its_version(monkeypatch: pytest.MonkeyPatch):
    """None where there is no driver, or where it fails."""

    class Driver:
        broken = 0

        def nvmlInit_v2(self) -> int:
            return self.broken

        def nvmlSystemGetDriverVersion(self, text, length: int) -> int:
            text.value = b"580.65.06"
            return 0

        def nvmlShutdown(self) -> None: ...

    driver = Driver()
    monkeypatch.setattr(devices, "ctypes", SimpleNamespace(CDLL=lambda _: driver, create_string_buffer=_Buffer))
    assert devices.driver_version() == "580.65.06"
    driver.broken = 999
    assert devices.driver_version() is None


class _Buffer:
    value = b""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


def pretend(monkeypatch: pytest.MonkeyPatch, *, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
