"""A batch of tuples, each with an operation of its own, equals the tuples one by one, to the bit."""

import pytest
import torch
from torch import Tensor

from kdvideo.data.pretexts.base import Pretext, PretextOperation
from kdvideo.data.pretexts.rotnet import RotNet
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP

VCP_OPERATIONS = [
    (0, 0),
    *((1, argument) for argument in range(3)),
    (2, 0),
    *((3, argument) for argument in range(6)),
    *((4, argument) for argument in (0, 5, 1000)),  # which remote clip: any number
]
ALL = [
    pytest.param(VCP(), VCP_OPERATIONS, 3, id="vcp"),
    pytest.param(VCP(), VCP_OPERATIONS, 1, id="vcp of one clip"),
    pytest.param(RotNet(), [(label, 0) for label in range(4)], 2, id="rotnet"),
    pytest.param(VCOP(), [(label, 0) for label in range(6)], 3, id="vcop"),
]


def noise(batch_size: int, num_clips: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch_size, num_clips, 3, 8, 6, 6), generator=generator).to(dtype)


def one_by_one(pretext: Pretext, clips: Tensor, operations: list[tuple[int, int]]) -> Tensor:
    chosen = [PretextOperation(*one) for one in operations]
    return torch.stack([pretext.apply(one.clone(), operation) for one, operation in zip(clips, chosen, strict=True)])


@pytest.mark.parametrize(("pretext", "operations", "num_clips"), ALL)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_batch_equals_its_tuples(pretext: Pretext, operations, num_clips: int, dtype: torch.dtype):
    """Every label with every argument, all in one batch; twice over and mixed, so that no place goes with a label."""
    operations = [*operations, *reversed(operations)]
    clips = noise(len(operations), num_clips, dtype)
    expected = one_by_one(pretext, clips, operations)
    assert len({one.numpy().tobytes() for one in expected}) == len(operations)  # noise: nothing is alike by chance
    labels, arguments = torch.tensor(operations).T
    found = pretext.apply_batch(clips, labels=labels, arguments=arguments)
    assert found.dtype == dtype
    assert torch.equal(found, expected)


class Backwards(Pretext):
    """A pretext as docs/extending.md has it: `apply` alone, which may change its clips."""

    num_classes = 2

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Turns the time around for label 1, and adds the argument."""
        return (clips.flip(0, 2) if operation.label else clips).add_(operation.argument)


class UpsideDown(RotNet):
    """A built-in pretext with another operation."""

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Turns the pictures upside down for label 1."""
        return clips.flip(-2) if operation.label == 1 else clips


@pytest.mark.parametrize("pretext", [Backwards(), UpsideDown()])
def test_an_own_apply_is_enough(pretext: Pretext):
    """By default each tuple goes through `apply`, also where the class it comes from has an `apply_batch`."""
    operations = [(0, 0), (1, 0), (1, 3), (0, 2)]
    clips = noise(4, 2)
    expected = one_by_one(pretext, clips, operations)
    assert not torch.equal(expected, clips)
    labels, arguments = torch.tensor(operations).T
    assert torch.equal(pretext.apply_batch(clips, labels=labels, arguments=arguments), expected)


class SlowlyTurned(RotNet):
    """A built-in pretext with its own draws alone."""

    def plan(self, *args, **options):
        """Plans as RotNet does."""
        return super().plan(*args, **options)


class _Dark:
    """A mixin that is no pretext."""

    def apply(self, clips: Tensor, operation: PretextOperation) -> Tensor:
        """Returns black clips."""
        return torch.zeros_like(clips)


class DarkTurned(_Dark, RotNet):
    """A built-in pretext whose operation a mixin replaces."""


class TurnedAsBefore(RotNet, _Dark):
    """A built-in pretext before the mixin: its own operation holds."""


def test_a_mixin_may_bring_the_apply():
    """Then the batch goes through it, as it does through the subclass's own."""
    assert DarkTurned.apply_batch is Pretext.apply_batch
    assert TurnedAsBefore.apply_batch is RotNet.apply_batch


def test_a_subclass_without_an_apply_keeps_the_batch():
    """Only who changes the operation gives up its batched form."""
    assert SlowlyTurned.apply_batch is RotNet.apply_batch
    assert UpsideDown.apply_batch is Pretext.apply_batch
