"""What a device can do at most: matrix products, copies in its memory, copies to it; and the operations of a network.

    python benchmarks/device_rates.py [--device cuda] [--json FILE]

The inputs are random, because a product of constants can run faster than one of real data. Each figure is the median of
ten calls after three that warm up. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from json_lines import write_line
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

NUM_CALLS, NUM_WARM = 10, 3


def time_calls(call: Callable[[], object], device: torch.device, *, calls: int = NUM_CALLS) -> float:
    """Median seconds of a call. On a GPU, CUDA events around each call measure it."""
    for _ in range(NUM_WARM):
        call()
    if device.type != "cuda":
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)
    marks = []
    for _ in range(calls):
        marks.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
        marks[-1][0].record()
        call()
        marks[-1][1].record()
    torch.cuda.synchronize()
    return statistics.median(first.elapsed_time(last) for first, last in marks) / 1e3


def matmul_rate(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """Operations a second of a product of two random matrices, of 8192 x 8192 on a GPU and 2048 x 2048 on a CPU."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * size**3 / time_calls(lambda: torch.mm(a, b, out=out), device)


def copy_rate(device: torch.device) -> float:
    """Bytes a second of a copy within the device's memory, read and written bytes both counted."""
    count = 2**30 if device.type == "cuda" else 2**27
    source = torch.randint(0, 256, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * count / time_calls(lambda: target.copy_(source), device)


def upload_rate(device: torch.device) -> float:
    """Bytes a second from pinned memory to the device."""
    source = torch.randint(0, 256, (2**28,), dtype=torch.uint8).pin_memory()
    target = torch.empty_like(source, device=device)
    return len(source) / time_calls(lambda: target.copy_(source, non_blocking=True), device)


def measure_rates(device: torch.device) -> dict[str, float]:
    """All rates in TFLOP/s and TB/s, by name."""
    rates = {"bf16 TFLOP/s": matmul_rate(device) / 1e12}
    rates["fp32 TFLOP/s"] = matmul_rate(device, torch.float32) / 1e12
    rates["copy TB/s"] = copy_rate(device) / 1e12
    if device.type == "cuda":
        rates["fp16 TFLOP/s"] = matmul_rate(device, torch.float16) / 1e12
        rates["upload TB/s"] = upload_rate(device) / 1e12
        torch.cuda.empty_cache()
    return {name: float(f"{value:.4g}") for name, value in rates.items()}


def count_operations(network: nn.Module, *shape: int) -> tuple[float, float]:
    """Counts the operations of one clip: of its forward, and of forward and backward together.

    The gradient of the clip itself is not computed, so the first convolution's input gradient does not count.

    Args:
        network: a backbone. It is moved to the meta device, where nothing is computed.
        shape: `C, T, H, W` of the clip.
    """
    network = network.to("meta").train()
    clips = torch.empty(2, *shape, device="meta")
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(clips)
    with FlopCounterMode(display=False) as both:
        network(clips).sum().backward()
    return forward.get_total_flops() / 2, both.get_total_flops() / 2


def describe_machine() -> dict[str, Any]:
    """Processor, memory, shared memory, versions, and each GPU."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "compiler": shutil.which("gcc") or shutil.which("cc"),
        "gpus": [
            {
                "name": found.name,
                "GiB": round(found.total_memory / 2**30, 1),
                "capability": f"{found.major}.{found.minor}",
                "multiprocessors": found.multi_processor_count,
            }
            for found in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        ],
    }
    if Path("/dev/shm").is_dir():
        facts["shared memory GB"] = round(shutil.disk_usage("/dev/shm").free / 1e9, 1)
    return facts


def main() -> None:
    """Prints the machine and its rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file to which the line is added")
    options = parser.parse_args()
    line = {**describe_machine(), "device": options.device, **measure_rates(torch.device(options.device))}
    print(json.dumps(line))
    write_line(options.json, line)


if __name__ == "__main__":
    main()
