"""Checks what this machine offers to kdvideo, and says what to do about missing parts.

Each check itself imports what it needs, so that a missing or broken package affects no other check.
"""

import importlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata

from kdvideo.errors import first_line
from kdvideo.extras import OPTIONAL_PACKAGES, OptionalPackage
from kdvideo.paths import kdvideo_home
from kdvideo.requirements import Finding, examine_requirements
from kdvideo.version import __version__

__all__ = ["Finding", "examine"]

_IMPORTS = {"tensorboard": "torch.utils.tensorboard"}  # `tensorboard` alone does not load protobuf
_LITTLE_ROOM = 5e9  # bytes
_LITTLE_SHARED_MEMORY = 1e9  # bytes; docker gives 64 MB


def examine() -> Iterator[Finding]:
    """Checks versions, readers, processors, folders and optional packages, in this order. It never raises."""
    yield Finding("kdvideo", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield from examine_requirements()
    looks = {
        "video readers": _reader,
        "CPU": _cpu,
        "bf16 training": _bf16,
        "shared memory": _shared_memory,
        "KDVIDEO_HOME": _home,
        "zoo": _shipped,
    }
    yield from (_look(what, look) for what, look in looks.items())
    yield from _gpus()
    yield from (_optional(module, package) for module, package in OPTIONAL_PACKAGES.items())


def _look(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # the package is missing or has another version
        return Finding(what, f"cannot be looked at ({first_line(error)})", "mend what is named above first")


def _reader() -> Finding:
    from kdvideo.data.readers.torchcodec import torchcodec_loads

    if torchcodec_loads():
        return Finding("video readers", f"PyAV, torchcodec {metadata.version('torchcodec')}")
    advice = "long H.264 or VP9 videos with B-frames read slower; for them: pip install 'kdvideo[fast]', and FFmpeg"
    return Finding("video readers", "PyAV; torchcodec does not load", advice)


def _cpu() -> Finding:
    import torch

    from kdvideo.data.checking.isolation import available_cores

    capability = torch.backends.cpu.get_cpu_capability()
    bf16 = "bf16 in hardware" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no bf16"
    found = f"{available_cores()} cores, {capability}, {bf16}, {torch.get_num_threads()} threads"
    wait = os.environ.get("OMP_WAIT_POLICY")
    return Finding("CPU", found, "" if wait else "in Python: set OMP_WAIT_POLICY=PASSIVE where others share the cores")


def _bf16() -> Finding:
    """Checks a shape that some kernels compute wrongly: fewer frames than the kernel is long."""
    import torch
    from torch import nn

    from kdvideo.engine.precision import LARGEST_ERROR, ConvolutionUse, convolution_errors

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return Finding("bf16 training", "not checked: the CPU has none")
    convolution = nn.Conv3d(32, 32, 3, padding=1, bias=False).to(memory_format=torch.channels_last_3d)
    clips = torch.empty(4, 32, 2, 7, 7).contiguous(memory_format=torch.channels_last_3d)
    use = ConvolutionUse("conv", convolution, clips.shape, clips.stride())
    error = convolution_errors(use, torch.bfloat16)["weight gradient"]
    if error <= LARGEST_ERROR:
        return Finding("bf16 training", f"weight gradients are right (within {error:.1%})")
    advice = "nothing: SOLVER.AMP bf16 finds them and computes them in another way"
    return Finding("bf16 training", "wrong weight gradients of convolutions over few frames", advice)


def _gpus() -> Iterator[Finding]:
    try:
        from kdvideo.engine.gpu import examine_gpus

        yield from examine_gpus()
    except Exception as error:  # the package is missing, or a GPU is full or broken
        yield Finding("GPU", f"cannot be looked at ({first_line(error)})", "mend what is named above first")


def _shared_memory() -> Finding:
    try:
        room = shutil.disk_usage("/dev/shm").total
    except OSError:
        return Finding("shared memory", "no /dev/shm: its size is not known")
    advice = "batches that do not fit come through pipes, which takes longer: allow more, in docker by --shm-size=2g"
    return Finding("shared memory", f"{room / 1e9:.2f} GB", advice if room < _LITTLE_SHARED_MEMORY else "")


def _home() -> Finding:
    home = kdvideo_home()
    existing = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    room = shutil.disk_usage(existing).free
    found = f"{home} ({room / 1e9:.0f} GB free)"
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Finding("KDVIDEO_HOME", found, "it cannot be written: set KDVIDEO_HOME to a folder that can")
    if others := [folder.name for folder in home.glob("*") if not os.access(folder, os.W_OK)]:
        found = f"{found}, not to be written by this user: {', '.join(sorted(others))}"
        return Finding("KDVIDEO_HOME", found, "set KDVIDEO_HOME to a folder of your own")
    return Finding("KDVIDEO_HOME", found, "little room: set KDVIDEO_HOME elsewhere" if room < _LITTLE_ROOM else "")


def _shipped() -> Finding:
    from kdvideo.zoo.folder import Zoo

    zoo = Zoo.packaged()
    entries = zoo.entries()
    shipped = [entry.name for entry in entries if zoo.weights_of(entry).is_file()]
    return Finding("zoo", f"{len(entries)} models known, here without a network: {', '.join(shipped) or 'none'}")


def _optional(module: str, package: OptionalPackage) -> Finding:
    try:
        importlib.import_module(_IMPORTS.get(module, module))
        version = metadata.version(package.distribution)
    except Exception as error:  # a broken binary package may raise anything
        advice = f"for {package.purpose}: pip install 'kdvideo[{package.extra}]'"
        missing = isinstance(error, ModuleNotFoundError)  # PackageNotFoundError is one of them
        found = "not installed" if missing else f"does not import ({first_line(error)})"
        return Finding(package.distribution, found, advice)
    return Finding(package.distribution, version)
