"""The queue against a Python list, and its loss against a loop over samples and places."""

import math
from collections import deque

import pytest
import torch
from torch.nn import functional as F

from kdvideo.losses import BatchNCE, QueueNCE
from kdvideo.losses.queue import Queue


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, dtype=torch.float64, generator=generator), dim=-1)


def slow_queue_nce(z, index, queues, temperature) -> float:
    """Each sample, each direction: minus the log of its positive's share; queues hold (video, vector)."""
    total = 0.0
    for sample, video in zip(z, index, strict=True):
        for own, other in ((0, 1), (1, 0)):
            positive = math.exp(float(sample[own] @ sample[other]) / temperature)
            negatives = [vector for held, vector in queues[other] if held != video]
            others = sum(math.exp(float(sample[own] @ vector) / temperature) for vector in negatives)
            total -= math.log(positive / (positive + others))
    return total / len(z)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 16])
def test_queue_keeps_what_a_list_of_limited_length_keeps(length: int):
    """Batches of four into queues that they do and do not divide."""
    queue, expected = Queue(length, 2), deque(maxlen=length)
    for batch in range(6):
        rows = torch.stack((torch.arange(4) + 4 * batch, torch.full((4,), batch)), dim=1)
        queue.push(rows)
        expected.extend(rows.tolist())
        assert sorted(queue.rows.tolist()) == sorted(expected)


@pytest.mark.parametrize("length", [3, 8, 64])
def test_loss_is_the_loop_over_the_queue(length: int):
    """Ten steps over five videos, so that queues hold samples' own older projections; equal to 1e-9 in float64."""
    loss = QueueNCE(length=length, dim=6, temperature=0.2).double().train()
    queues = deque(maxlen=length), deque(maxlen=length)
    for step in range(10):
        index = torch.tensor([step % 5, (step + 2) % 5, (step + 3) % 5])
        z = unit(3, 2, 6, seed=step)
        expected = slow_queue_nce(z, index.tolist(), queues, 0.2)
        assert loss(z, index).item() == pytest.approx(expected, abs=1e-9)
        for i, queue in enumerate(queues):
            queue.extend((video, vector) for video, vector in zip(index.tolist(), z[:, i], strict=True))


def test_equal_similarities_give_the_log_of_the_candidates():
    """All vectors alike: each of K + 1 candidates is as likely, in both directions."""
    loss = QueueNCE(length=7, dim=4).train()
    z = torch.ones(2, 2, 4) / 2
    assert loss(z, torch.tensor([0, 1])).item() == 0  # nothing to tell the positive from
    loss(z, torch.tensor([2, 3]))
    assert loss(z, torch.tensor([4, 5])).item() == pytest.approx(2 * math.log(5))
    assert loss(z, torch.tensor([0, 9])).item() == pytest.approx(math.log(6) + math.log(7))


def test_both_clips_of_a_sample_get_the_gradient_of_the_positive():
    """As in-batch NCE, unlike a bank: finite differences in float64."""
    loss = QueueNCE(length=4, dim=3).double().train()
    loss(unit(4, 2, 3, seed=9), torch.arange(4))
    loss.eval()
    z = unit(2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.tensor([7, 8])), (z,))
    assert (torch.autograd.grad(loss(z, torch.tensor([7, 8])), z)[0].abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize("length", [2, 5, 64])
def test_training_goes_backward_through_the_queue_as_it_was(length: int):
    """The gradient in training, where the queue is written to before it is asked for, is that of the value."""
    loss = QueueNCE(length=length, dim=3, temperature=0.5).double().train()
    for step in range(4):
        index, z = torch.arange(3) + 3 * step, unit(3, 2, 3, seed=step).requires_grad_()
        state = {key: value.clone() for key, value in loss.state_dict().items()}
        (gradient,) = torch.autograd.grad(loss(z, index), z)
        before = QueueNCE(length=length, dim=3, temperature=0.5).double().eval()
        before.load_state_dict(state)
        assert torch.equal(gradient, torch.autograd.grad(before(z, index), z)[0])


def test_evaluation_leaves_the_queue_and_its_state_goes_round():
    """What a checkpoint holds is all that a queue is."""
    loss, other = QueueNCE(length=4, dim=3).train(), QueueNCE(length=4, dim=3)
    loss(unit(3, 2, 3).float(), torch.arange(3))
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    loss.eval()(unit(3, 2, 3, seed=1).float(), torch.arange(3))
    assert all(torch.equal(value, state[key]) for key, value in loss.state_dict().items())
    other.load_state_dict(state)
    z = unit(2, 2, 3, seed=2).float()
    assert torch.equal(other.eval()(z, torch.tensor([5, 6])), loss(z, torch.tensor([5, 6])))


def test_a_queue_of_the_batch_itself_is_in_batch_nce():
    """With the batch's own projections in the queue, the negatives are exactly those of `BatchNCE`."""
    loss = QueueNCE(length=5, dim=6).double().train()
    z, index = unit(5, 2, 6), torch.arange(5)
    loss(z, index)
    assert loss.eval()(z, index).item() == pytest.approx(BatchNCE()(z, index).item())
