"""Milliseconds that building a network takes, with random weights and without: kdvideo/models/uninitialised.py.

    python benchmarks/uninitialised.py r3d_18 r2plus1d_34 x3d_m

Processor time of one thread, the least of five.
"""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from kdvideo.models.pcl import build_backbone
from kdvideo.models.uninitialised import Uninitialised

WAYS: dict[str, Callable[[], AbstractContextManager]] = {
    "drawn": nullcontext,
    "left out": Uninitialised,
    "meta device": lambda: torch.device("meta"),
}


def milliseconds(name: str, way: Callable[[], AbstractContextManager]) -> float:
    """Returns the time of building one backbone."""
    taken = []
    for _ in range(5):
        start = time.thread_time()
        with way():
            build_backbone(name)
        taken.append(time.thread_time() - start)
    return 1000 * min(taken)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("r3d_18", "r2plus1d_34", "x3d_m"):
        print(f"{name:<12}", *(f"{way} {milliseconds(name, WAYS[way]):.0f} ms" for way in WAYS), sep="  ")
