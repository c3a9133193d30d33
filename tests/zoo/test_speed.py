"""What loading by name costs, and that shipped weights need no network."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

import kdvideo
from kdvideo.models.pcl import build_backbone
from kdvideo.models.uninitialised import Uninitialised
from kdvideo.zoo.sources import entry_file, find_entry

SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_shipped_weights_load_without_a_network():
    """Any try to connect, or to ask for a name's address, would end the process."""
    script = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    assert event not in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'), (event, arguments)\n"
        "sys.addaudithook(refuse)\n"
        "import kdvideo\n"
        f"kdvideo.create_model('{SHIPPED}', pretrained=True)\n"
        f"kdvideo.create_pcl_model('{SHIPPED}', pretrained=True)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_weights_are_not_drawn_to_be_overwritten():
    """`pretrained=True` takes less than 1.3 times the bare network and reading its file; measured in turns."""
    entry, zoo_dir = find_entry(SHIPPED)
    path = entry_file(entry, zoo_dir)

    def separately() -> None:
        entry.model.build_backbone()
        load_file(path)

    seconds: dict[Callable[[], object], list[float]] = {
        separately: [],
        lambda: kdvideo.create_model(SHIPPED, pretrained=True): [],
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine threads wait for each other, which is not what is measured here
    for _ in range(15):
        for function, taken in seconds.items():
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    bare, pretrained = (min(taken) for taken in seconds.values())  # what other processes do only adds
    assert pretrained < 1.3 * bare, f"{pretrained:.4f} s against {bare:.4f} s"


@pytest.mark.parametrize("name", ["c3d", "r2plus1d_10", "x3d_xs", "mc3_18", "mvit_v2_s"])
def test_only_draws_are_left_out(name: str):
    """Same tensors, same buffers also where the state dict has them not."""
    drawn = build_backbone(name)
    with Uninitialised():
        left = build_backbone(name)
    assert {key: value.shape for key, value in left.state_dict().items()} == {
        key: value.shape for key, value in drawn.state_dict().items()
    }
    buffers = dict(left.named_buffers())
    for key, value in drawn.named_buffers():
        assert torch.equal(buffers[key], value), key


def test_loops_that_reject_draws_end():
    """`trunc_normal_` draws until all numbers lie between its bounds; here the mean does not."""
    with Uninitialised():
        tensor = torch.nn.init.trunc_normal_(torch.empty(10), mean=0.0, std=1.0, a=0.1, b=2.0)
    assert tensor.min() >= 0.1
    assert tensor.max() <= 2.0


def test_a_new_classifier_is_drawn():
    """Only what the file fills is left out: the new head is the same as without weights."""
    heads = []
    for pretrained in (False, True):
        torch.manual_seed(0)
        backbone_draws = torch.get_rng_state()
        model = kdvideo.create_model(SHIPPED, num_classes=3, pretrained=pretrained)
        torch.set_rng_state(backbone_draws)
        heads.append(model.head.weight)
    assert all(0.001 < head.std() < 1 and head.abs().max() < 1 for head in heads)


def test_import_is_cheap():
    """After torch and torchvision: 0.3 s at most for kdvideo, what loads models and all that it loads; no warning.

    The names that train load the trainer with TensorBoard when they are first used, which takes as long again.
    """
    script = (
        "import sys, time, torch, torchvision\n"
        "start = time.process_time()\n"
        "import kdvideo\n"
        "trains = {'RunResult', 'distill', 'pretrain'}\n"
        "[getattr(kdvideo, name) for name in kdvideo.__all__ if name not in trains]\n"
        "assert 'kdvideo.engine' not in sys.modules\n"
        "print(time.process_time() - start)\n"
    )
    # Under `make coverage` processes count their lines, which takes as long as the rest.
    own = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**own, "PYTHONWARNINGS": ""},
        )
        assert done.stderr == ""
        seconds.append(float(done.stdout))
    assert statistics.median(seconds) <= 0.3, seconds
