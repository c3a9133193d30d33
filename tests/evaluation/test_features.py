"""How many clips go through a network at a time: as many as before on the CPU, more on a GPU."""

from types import SimpleNamespace

import pytest
import torch

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.evaluation import features
from kdvideo.evaluation.features import _num_clips, _put_together, clips_of_gpu, clips_to_load, compute_outputs

SMALL = ClipSpec(clip_len=8, size=64)
LARGE = ClipSpec(clip_len=32, size=224)


@pytest.mark.parametrize(
    ("gigabytes", "spec", "clips"),
    [
        (80, ClipSpec(), 53),
        (24, ClipSpec(), 32),
        (80, SMALL, 326),
        (320, SMALL, 1024),
        (12, SMALL, 49),
        (80, LARGE, 32),
    ],
)
def test_clips_of_a_gpu(gigabytes: int, spec: ClipSpec, clips: int, monkeypatch: pytest.MonkeyPatch):
    """In proportion to the GPU's memory and to a clip's pixels, but never fewer than on a CPU."""
    properties = SimpleNamespace(total_memory=gigabytes << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert clips_of_gpu(spec, torch.device("cuda")) == clips


def test_clips_that_a_loader_puts_into_a_batch():
    """32 unless a number is asked for."""
    assert [clips_to_load(number) for number in (0, 1, 480)] == [32, 1, 480]


def test_batches_are_put_together_in_order():
    """Clips are counted, not samples: three batches of 2 x 5 clips make 30."""
    batches = [torch.full((2, 5, 3, 4, 8, 8), number) for number in range(7)]
    together = [
        [int(part[0, 0, 0, 0, 0, 0]) for part in parts] for parts in _put_together(batches, 30, size=_num_clips)
    ]
    assert together == [[0, 1, 2], [3, 4, 5], [6]]
    assert [len(parts) for parts in _put_together(batches, 1, size=_num_clips)] == [1] * 7
    assert list(_put_together([], 30, size=_num_clips)) == []


def test_on_the_cpu_a_batch_is_a_forward_pass():
    """Whatever is asked for, since other sums would be rounded otherwise."""
    sizes = []

    def output(clips: torch.Tensor) -> torch.Tensor:
        sizes.append(len(clips))
        return clips.flatten(1)[:, :2]

    batches = [torch.zeros(size, 2, 3, 4, 8, 8, dtype=torch.uint8) for size in (3, 3, 1)]
    spec = ClipSpec(clip_len=4, size=8)
    outputs = compute_outputs(
        torch.nn.Identity(), batches, output=output, spec=spec, device=torch.device("cpu"), batch_size=1000
    )
    assert sizes == [6, 6, 2]
    assert outputs.shape == (7, 2, 2)


def test_outputs_come_to_the_host_in_parts(monkeypatch: pytest.MonkeyPatch):
    """A device need not hold those of a large dataset: 24 bytes a batch, and no more than two batches at a time."""
    sizes, to_host = [], torch.Tensor.cpu
    monkeypatch.setattr(features, "_HELD_BYTES", 48)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: (sizes.append(self.nbytes), to_host(self))[1])
    batches = [torch.full((3, 1, 3, 4, 8, 8), 10 * number, dtype=torch.uint8) for number in range(5)]
    spec = ClipSpec(clip_len=4, size=8, mean=(0.0,) * 3, std=(1.0,) * 3, modality="rgb")
    outputs = compute_outputs(
        torch.nn.Identity(),
        batches,
        output=lambda clips: clips.flatten(1)[:, :2],
        spec=spec,
        device=torch.device("cpu"),
    )
    assert sizes == [48, 48, 24]
    expected = torch.arange(5).repeat_interleave(3) * 10 / 255
    torch.testing.assert_close(outputs, expected.view(15, 1, 1).expand(15, 1, 2))
