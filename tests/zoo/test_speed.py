"""What loading by name leaves out, and that shipped weights need no network."""

import subprocess
import sys

import pytest
import torch

import kdvideo
from kdvideo.models.pcl import build_backbone
from kdvideo.models.uninitialised import Uninitialised

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
    """`pretrained=True` leaves the random state as it was; without weights there are draws. Seconds: tests/slow."""
    before = torch.get_rng_state()
    kdvideo.create_model(SHIPPED, pretrained=True)
    assert torch.equal(torch.get_rng_state(), before)
    kdvideo.create_model(SHIPPED)
    assert not torch.equal(torch.get_rng_state(), before)


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
    """`trunc_normal_` draws until all numbers lie between its bounds; here the mean does not. No draw is torch's."""
    before = torch.get_rng_state()
    with Uninitialised():
        tensor = torch.nn.init.trunc_normal_(torch.empty(10), mean=0.0, std=1.0, a=0.1, b=2.0)
    assert tensor.min() >= 0.1
    assert tensor.max() <= 2.0
    assert torch.equal(torch.get_rng_state(), before)


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


def test_import_loads_no_more_than_models_need():
    """All public names but those of runs: no trainer, no TensorBoard; no warning. Seconds: tests/slow."""
    script = (
        "import sys, kdvideo\n"
        "runs = {'RunResult', 'distill', 'evaluate', 'finetune', 'pretrain', 'publish'}\n"
        "[getattr(kdvideo, name) for name in kdvideo.__all__ if name not in runs]\n"
        "print({'kdvideo.engine.trainer', 'tensorboard', 'matplotlib', 'sklearn', 'plotly'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")
