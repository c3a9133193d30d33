"""Device augmentation on CUDA against the workers', its time, and as part of a CUDA graph."""

import pytest
import torch

from kdvideo.data.augment.plan import AugmentConfig, draw_augment, stack_maps
from kdvideo.data.batch import Batch
from kdvideo.data.draws import Draws
from kdvideo.data.pretexts.base import Pretext
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import augment_batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
TUPLES, CLIPS, FRAMES, SIZE = 16, 3, 16, 112
PRETEXTS = [VCP(), RotNet(), VCOP()]


def random_batch(pretext: Pretext) -> Batch:
    """A batch as workers send it, on the CPU: noise over a ramp, drawn maps, all labels in turn."""
    generator = torch.Generator().manual_seed(0)
    shape = (TUPLES, CLIPS, 3, FRAMES, SIZE, SIZE)
    noise = torch.randint(0, 128, shape, dtype=torch.uint8, generator=generator)
    maps = stack_maps([draw_augment(Draws(0, "sample", index=i), AugmentConfig()) for i in range(TUPLES * CLIPS)])
    place = torch.arange(TUPLES)
    return {
        "clips": noise + torch.arange(SIZE, dtype=torch.uint8),
        "color": maps["color"].unflatten(0, (TUPLES, CLIPS)),
        "blur_sigma": maps["blur_sigma"].unflatten(0, (TUPLES, CLIPS)),
        "pretext_label": place % pretext.num_classes,
        "pretext_argument": place // pretext.num_classes,
    }


def on_cuda(batch: Batch) -> Batch:
    return {key: value.cuda() for key, value in batch.items()}


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_cuda_equals_the_cpu(pretext: Pretext):
    """Within 1 of 255: only halves are rounded either way. The pretext moves whole pixels, so it adds nothing."""
    batch = random_batch(pretext)
    difference = augment_batch(on_cuda(batch), pretext=pretext)["clips"].cpu().int()
    difference -= augment_batch(batch, pretext=pretext)["clips"].int()
    assert difference.abs().max() <= 1
    assert (difference != 0).float().mean() < 1e-3


@pytest.mark.parametrize("pretext", PRETEXTS)
def test_nothing_waits_and_a_graph_holds_it(pretext: Pretext):
    """CUDA refuses to capture what waits for the device; a replay gives what the operations give."""
    batch = on_cuda(random_batch(pretext))
    expected = augment_batch(batch, pretext=pretext)["clips"]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment_batch(batch, pretext=pretext)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = augment_batch(batch, pretext=pretext)["clips"]
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(found, expected)


def test_the_time_of_a_batch_is_printed(capsys):
    """48 clips of 16 x 112 x 112: 1.5 GB moved and 13 GFLOP, so a GPU of 300 GB/s and 5 TFLOP/s needs 8 ms."""
    batch = on_cuda(random_batch(VCP()))
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    milliseconds = []
    for _ in range(20):
        started.record()
        augment_batch(batch, pretext=VCP())
        ended.record()
        ended.synchronize()
        milliseconds.append(started.elapsed_time(ended))
    median = sorted(milliseconds)[10]
    with capsys.disabled():
        print(f"\naugment_batch, {TUPLES} tuples, vcp, {torch.cuda.get_device_name()}: {median:.2f} ms")
    assert median < 20
