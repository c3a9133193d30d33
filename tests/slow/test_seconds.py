"""Processor seconds of importing and of loading by name, which busy neighbours lengthen."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

import kdvideo
from kdvideo.zoo.sources import find_entry

pytestmark = pytest.mark.slow

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_weights_are_not_drawn_to_be_overwritten():
    """`pretrained=True` takes less than 1.3 times the bare network and reading its file; measured in turns."""
    found = find_entry(SHIPPED)
    path = found.path

    def separately() -> None:
        found.entry.model.build_backbone()
        load_file(path)

    seconds: dict[Callable[[], object], list[float]] = {
        separately: [],
        lambda: kdvideo.create_model(SHIPPED, pretrained=True): [],
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that this thread's seconds are all
    for _ in range(15):
        for function, taken in seconds.items():
            start = time.thread_time()
            function()
            taken.append(time.thread_time() - start)
    torch.set_num_threads(threads)
    bare, pretrained = (min(taken) for taken in seconds.values())  # what other processes do only adds
    assert pretrained < 1.3 * bare, f"{pretrained:.4f} s against {bare:.4f} s"


def test_import_is_cheap():
    """After torch and torchvision: 0.3 s at most for kdvideo, what loads models and all that it loads.

    The names of runs load the trainer and TensorBoard when they are first used, which takes as long again. Those that
    read videos load PyAV. Torch's own objects are kept from the garbage collector: looking through all of them
    takes 0.1 s and more, and whose import it falls into is chance.
    """
    script = (
        "import gc, time, torch, torchvision\n"
        "gc.freeze()\n"
        "start = time.process_time()\n"
        "import kdvideo\n"
        "runs = {'RunResult', 'distill', 'evaluate', 'finetune', 'pretrain', 'publish'}\n"
        "reads = {'Predictor', 'embed', 'export', 'load_clips', 'load_dataset', 'predict'}\n"
        "[getattr(kdvideo, name) for name in kdvideo.__all__ if name not in runs | reads]\n"
        "print(time.process_time() - start)\n"
    )
    # Under `make coverage` processes count their lines, which takes as long as the rest.
    own = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    command = [sys.executable, "-c", script]
    seconds = [float(subprocess.run(command, capture_output=True, check=True, env=own).stdout) for _ in range(5)]
    assert min(seconds) <= 0.3, seconds
