"""Device augmentation: the workers' pixels, by operations that never wait for the device."""

import numpy as np
import pytest
import torch
from test_augment import drawn, random_clip, reference
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdvideo.data.augment.batched import augment_together
from kdvideo.data.augment.plan import AugmentConfig, AugmentPlan, augment_clips, stack_maps
from kdvideo.data.batch import Batch
from kdvideo.data.pretexts.base import Pretext
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import augment_batch

CONFIG = AugmentConfig(color_prob=0.9, grayscale_prob=0.3, blur_prob=0.6)


@pytest.mark.parametrize("size", [16, 32, 40, 112])
def test_pixels_equal_a_float64_reference(size: int):
    """Within half a step of 255 of the definition, as the workers' pixels are. Pictures of 16 have no blur at all."""
    plans = drawn(24, CONFIG)
    clips = [random_clip(seed, size=size) for seed in range(len(plans))]
    found = augment_together(torch.stack(clips), **stack_maps(plans))
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    for clip, plan, one in zip(clips, plans, found, strict=True):
        # float32 has 24 bits: of values up to some thousand, sums of 22 terms are exact to 1e-3.
        assert np.abs(one.numpy() - reference(clip, plan)).max() <= 0.5 + 2e-3


def test_pixels_equal_the_workers():
    """The other arithmetic rounds a value halfway between two integers the other way, and does so rarely."""
    clips, maps = torch.stack([random_clip(seed, size=112) for seed in range(8)]), stack_maps(drawn(8, CONFIG))
    difference = (augment_together(clips, **maps).int() - augment_clips(clips, **maps).int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3


def test_a_clip_without_changes_stays_exact_beside_a_blurred_one():
    """The identity as a matrix is the identity to the last bit."""
    plans = [AugmentPlan(crop=(0, 0)), AugmentPlan(crop=(0, 0), blur_sigma=1.5), AugmentPlan(crop=(0, 0))]
    clips = torch.stack([random_clip(seed, size=112) for seed in range(3)])
    clips[2] = torch.tensor([0, 255]).repeat(clips[2].numel() // 2).view(clips[2].shape)  # both ends of the range
    done = augment_together(clips, **stack_maps(plans))
    assert torch.equal(done[0], clips[0])
    assert not torch.equal(done[1], clips[1])
    assert torch.equal(done[2], clips[2])


def test_it_compiles_to_one_graph():
    """Dynamo breaks a graph where Python looks at a value; whole steps are compiled and captured with this inside."""
    clips, maps = torch.stack([random_clip(seed) for seed in range(4)]), stack_maps(drawn(4, CONFIG))
    compiled = torch.compile(augment_together, backend="eager", fullgraph=True)
    assert torch.equal(compiled(clips, **maps), augment_together(clips, **maps))


class _OnDeviceOnly(TorchDispatchMode):
    """Refuses every operation that has a tensor on the CPU: what is not there needs no copy."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves((args, kwargs, result)):
            if isinstance(one, Tensor):
                assert one.device.type == "cuda", f"{function} has a tensor on the {one.device}"
        return result


def fake_batch() -> Batch:
    """What a loader brings to a GPU, without a GPU."""
    return {
        "clips": torch.empty(4, 3, 3, 8, 40, 40, dtype=torch.uint8, device="cuda"),
        "color": torch.empty(4, 3, 3, 6, device="cuda"),
        "blur_sigma": torch.empty(4, 3, device="cuda"),
        "pretext_label": torch.empty(4, dtype=torch.int64, device="cuda"),
        "pretext_argument": torch.empty(4, dtype=torch.int64, device="cuda"),
    }


@pytest.mark.parametrize("pretext", [VCP(), RotNet(), VCOP(), None])
def test_nothing_waits_for_the_device(pretext: Pretext | None):
    """Fake tensors raise at a sync or a shape that depends on values; no tensor is on the CPU, so none is copied."""
    with FakeTensorMode():
        batch = fake_batch()
        with _OnDeviceOnly():
            done = augment_batch(batch, pretext=pretext)
    assert done["clips"].device.type == "cuda"
    assert done["clips"].shape == (4, 3, 3, 8, 40, 40)
    assert done["clips"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("waits", "error"),
    [
        (lambda labels: labels.tolist(), DataDependentOutputException),
        (lambda labels: labels[labels > 1], DynamicOutputShapeException),
        (lambda labels: labels[[0, 2]], AssertionError),  # copies the list
        (lambda labels: torch.tensor([1, 2], device=labels.device), AssertionError),
    ],
)
def test_what_waits_is_seen(waits, error: type[Exception]):
    """What the former augmentation did 84 times a step fails the test above."""
    with FakeTensorMode():
        labels = torch.empty(4, dtype=torch.int64, device="cuda")
        with _OnDeviceOnly(), pytest.raises(error):
            waits(labels)
