"""Evaluation on a GPU: what one batch after the other gives, in larger batches and without a wait in between."""

import pytest
import torch

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.evaluation.features import compute_outputs
from kdvideo.models.pcl import build_backbone

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="evaluates on a GPU, and there is none"),
]
CLIP = ClipSpec(clip_len=8, size=32)
NUM_BATCHES = 30


@pytest.mark.parametrize("batch_size", [0, 1, 7, 1000])
def test_equals_the_cpu(batch_size: int):
    """Every sample in its place; TF32 is off, so features differ by rounding only."""
    backbone = build_backbone("r3d_10", width=8, clip_spec=CLIP)
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 3, CLIP.clip_len, CLIP.size, CLIP.size)
    batches = [torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in range(NUM_BATCHES)]
    batches.append(batches[0][:1])
    expected = compute_outputs(backbone, batches, output=backbone, spec=CLIP, device=torch.device("cpu"))
    device = torch.device("cuda")
    backbone.to(device)
    pinned = [batch.pin_memory() for batch in batches]
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = compute_outputs(backbone, pinned, output=backbone, spec=CLIP, device=device, batch_size=batch_size)
    assert found.device.type == "cpu"
    assert found.shape == expected.shape == (2 * NUM_BATCHES + 1, 3, backbone.num_features)
    assert (found - expected).norm() < 1e-4 * expected.norm()
