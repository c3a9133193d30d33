"""NCE within the batch, against loops and in closed form."""

import math

import pytest
import torch
from slow_nce import ATOL, DIM, INDEX, NEGATIVES, cross_entropy, dot, slow_batch_nce, unit

from kdvideo.losses import BatchNCE


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_batch_nce_is_rows_plus_columns_of_the_definition(batch, temperature):
    """The value is the mean cross entropy of the rows plus that of the columns, partners on the diagonal."""
    z = unit(batch, 2, DIM, seed=16)
    value = BatchNCE(temperature=temperature)(z, torch.arange(batch))
    assert value.shape == ()
    assert value.item() == pytest.approx(slow_batch_nce(z.tolist(), temperature), abs=ATOL, rel=0)


def test_batch_nce_adds_both_directions():
    """A matrix whose rows and columns differ: z0 all equal makes the columns log B and the rows something else."""
    z = unit(4, 2, DIM, seed=17)
    z[:, 0] = z[0, 0].clone()
    similarities = [dot(z[0, 0].tolist(), z[b, 1].tolist()) for b in range(4)]
    rows = sum(cross_entropy(similarities, b) for b in range(4)) / 4
    assert rows > math.log(4) + 1e-3  # else the two directions could not be told apart
    value = BatchNCE(temperature=1.0)(z, torch.arange(4)).item()
    assert value == pytest.approx(rows + math.log(4), abs=ATOL, rel=0)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_batch_nce_of_equal_similarities_is_the_log_of_the_batch(batch):
    """Where nothing stands out: 2 log B, which is 0 for a batch of one."""
    z = unit(DIM, seed=18).expand(batch, 2, DIM)
    assert BatchNCE()(z, torch.arange(batch)).item() == pytest.approx(2 * math.log(batch), abs=ATOL, rel=0)


@pytest.mark.parametrize("temperature", [0.07, 0.3, 1.0])
def test_batch_nce_of_aligned_orthogonal_videos_in_closed_form(temperature):
    """Partners equal and videos orthogonal: 2 log(1 + (B - 1) exp(-1/t))."""
    axes = torch.eye(5, DIM, dtype=torch.float64)
    value = BatchNCE(temperature=temperature)(torch.stack([axes, axes], dim=1), torch.arange(5)).item()
    # At 0.07 the value itself is 5e-6, so the tolerance is set below it: float64 rounds 1/0.07 = 14.3 by 2e-15.
    assert value == pytest.approx(2 * math.log1p(4 * math.exp(-1 / temperature)), abs=1e-12, rel=0)


def test_batch_nce_has_the_default_temperature_of_the_paper():
    """Without the option the temperature is 0.07."""
    z = unit(5, 2, DIM, seed=19)
    value = BatchNCE()(z, torch.arange(5)).item()
    assert value == pytest.approx(slow_batch_nce(z.tolist(), 0.07), abs=ATOL, rel=0)


def test_batch_nce_is_symmetric_in_the_clips():
    """Exchanging the two clips transposes the similarities and exchanges rows with columns."""
    z = unit(6, 2, DIM, seed=20)
    loss = BatchNCE()
    value = loss(z, torch.arange(6)).item()
    assert loss(z.flip(1), torch.arange(6)).item() == pytest.approx(value, abs=ATOL, rel=0)


def test_batch_nce_takes_no_notice_of_video_numbers_and_negatives():
    """Negatives come from the batch, so neither argument changes the value; both fit the call of the bank loss."""
    z = unit(3, 2, DIM, seed=21)
    loss = BatchNCE()
    assert loss(z, INDEX, NEGATIVES).item() == loss(z, torch.arange(3), None).item() == loss(z, INDEX).item()


def test_batch_nce_gradient_matches_finite_differences():
    """The derivative flows into both clips and is that of the value."""
    loss = BatchNCE(temperature=0.5)
    z = unit(4, 2, DIM, seed=22).requires_grad_()
    # gradcheck's defaults, as above.
    assert torch.autograd.gradcheck(lambda x: loss(x, torch.arange(4)), (z,))
    loss(z, torch.arange(4)).backward()
    assert z.grad.abs().amax(dim=(0, 2)).min() > 1e-3
