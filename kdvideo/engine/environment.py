"""What a run writes about itself before it starts, its folder, and a GPU's arithmetic while it lasts."""

import datetime
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import torch
from filelock import FileLock, Timeout
from fvcore.common.config import CfgNode

from kdvideo.device import choose_kernels, describe_gpu, float32_convolutions, slow_convolutions
from kdvideo.distributed import is_main, world_size
from kdvideo.engine.provenance import checkout_commit, started_by
from kdvideo.engine.run_folder import RunFolder
from kdvideo.paths import expand_user
from kdvideo.version import __version__

__all__ = ["computing", "describe_run", "exclusive_use", "prepare_output", "refuse_other_run"]

logger = logging.getLogger("kdvideo")

_LOOK = 0.2  # seconds: `kdvideo runs` holds a lock for a moment when it looks whether somebody else does
_PACKAGES = ("torchvision", "pytorchvideo", "fvcore", "av", "numpy", "safetensors")


def prepare_output(cfg: CfgNode) -> RunFolder:
    """Creates OUTPUT_DIR and returns it.

    Raises:
        ValueError: the folder cannot be written.
    """
    output_dir = expand_user(cfg.OUTPUT_DIR)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output_dir).close()
    except OSError as error:
        raise ValueError(f"OUTPUT_DIR {output_dir} cannot be written: {error.strerror or error}") from None
    return RunFolder(output_dir)


def refuse_other_run(folder: RunFolder) -> None:
    """Raises ValueError if the folder already holds a run."""
    # Metrics without a checkpoint come from a run that died in its first epoch. There is nothing to lose.
    if found := folder.checkpoints():
        raise ValueError(
            f"OUTPUT_DIR {folder.path} already holds a run ({found[0].name}): continue it with --resume or choose "
            "another folder"
        )


@contextmanager
def exclusive_use(folder: RunFolder) -> Iterator[None]:
    """Locks the run's folder against a second run. The system releases the lock when the process dies.

    Raises:
        ValueError: another process is using the folder.
    """
    if not is_main():  # rank 0 holds the lock for all ranks
        yield
        return
    try:
        with FileLock(folder.lock, timeout=_LOOK):
            yield
    except Timeout:
        raise ValueError(f"OUTPUT_DIR {folder.path} is in use by another process: wait for it or stop it") from None


@contextmanager
def computing(device: torch.device, *, precision: str, deterministic: bool) -> Iterator[None]:
    """Sets how a GPU computes while the block runs, and logs it in one line. On a CPU, it does nothing.

    Args:
        device: the device that computes.
        precision: a value of SOLVER.AMP. Without "tf32", convolutions of fp32 tensors are in fp32.
        deterministic: whether the same convolution gives the same bits each time.
    """
    with (
        float32_convolutions(device, tf32=precision == "tf32"),
        choose_kernels(device, deterministic=deterministic),
    ):
        if device.type == "cuda":
            logger.info("%s", _describe_computing(device, precision, deterministic=deterministic))
            if slow := slow_convolutions():
                logger.warning("%s", slow)
        yield


def describe_run(cfg: CfgNode, folder: RunFolder, *, device: torch.device) -> None:
    """Writes the resolved config, the environment and the seed."""
    folder.write_config(cfg)
    folder.write_environment(_environment(cfg, device))


def _describe_computing(device: torch.device, precision: str, *, deterministic: bool) -> str:
    gpu = describe_gpu(device)
    kernels = (
        "convolutions with the same bits each time" if deterministic else "the fastest kernels, other bits each time"
    )
    return (
        f"{gpu['name']}, driver {gpu['driver']}, CUDA {gpu['cuda']}, cuDNN {gpu['cudnn']}; {precision}, {kernels} "
        "(SOLVER.AMP, SOLVER.DETERMINISTIC)"
    )


def _environment(cfg: CfgNode, device: torch.device) -> dict[str, object]:
    computing = {"amp": cfg.SOLVER.AMP, "deterministic": cfg.SOLVER.DETERMINISTIC}
    return {
        "kdvideo": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "git": checkout_commit(),
        "processor_cores": os.cpu_count(),
        "ranks": world_size(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "gpu": {**describe_gpu(device), **computing} if device.type == "cuda" else None,
        "command": started_by.get() or sys.argv,
        "seed": cfg.SEED,
        "started": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # some vendors' containers install packages without metadata
        return None
