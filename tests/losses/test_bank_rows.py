"""Memory banks keep float16 rows: what the rounding costs, against banks of float32 and float64."""

import pytest
import torch
from slow_nce import DIM, FLOAT16, INDEX, NEGATIVES, NUM_VIDEOS, unit
from torch.nn.functional import normalize

from kdvideo.losses import BankNCE, MemoryBank


def test_rows_are_float16_of_what_they_would_be():
    """Over thirty steps a bank stays within four roundings of a float64 bank that started at the same place."""
    rounded = BankNCE(num_videos=NUM_VIDEOS, dim=DIM, num_negatives=4).train()
    exact = BankNCE(num_videos=NUM_VIDEOS, dim=DIM, num_negatives=4).double().train()
    for step in range(30):
        z = unit(3, 2, DIM, seed=step)
        value = rounded(z.float(), INDEX, NEGATIVES)
        assert value.dtype == torch.float32
        # Rows of length 1 that are off by e move a logit by e / 0.07, a cross-entropy by 2 such, and two are added.
        # With momentum 0.5 the roundings of earlier steps come to one more at most; normalising can double them.
        assert value.item() == pytest.approx(exact(z, INDEX, NEGATIVES).item(), abs=4 * 4 * FLOAT16 / 0.07, rel=0)
    for bank, wanted in zip(rounded.banks, exact.banks, strict=True):
        assert bank.vectors.dtype == torch.float16
        assert torch.allclose(bank.vectors.double(), wanted.vectors, atol=4 * FLOAT16, rtol=0)
        assert not torch.equal(bank.vectors.double(), wanted.vectors)


@pytest.mark.parametrize("momentum", [0.5, 0.99, 0.998])
def test_rows_follow_their_videos_even_slowly(momentum):
    """Small updates add up although each is rounded: the rows get as near to a constant z as float32 rows do."""
    rounded, exact = (MemoryBank(4, 128, momentum=momentum) for _ in range(2))
    exact.float()
    index, z = torch.arange(4), unit(4, 128, seed=16).float()
    for _ in range(round(3 / (1 - momentum))):  # e^-3 of the start is left
        rounded.update(index, z)
        exact.update(index, z)
    followed, wanted = ((normalize(bank.vectors.float(), dim=1) * z).sum(1) for bank in (rounded, exact))
    assert wanted.min() > 0.98
    # Numbers of 0.09 are 2^-14 apart in float16, so an update below half of that is lost: (1 - 0.998) * d < 2^-15 for a
    # distance d < 0.015 a number, a cosine of 1 - 128 * 0.015^2 / 2 = 0.986 where all of them are; exactly it is 0.99.
    assert torch.allclose(followed, wanted, atol=0.01, rtol=0)


def test_float32_banks_of_older_checkpoints_load():
    """Checkpoints from before the rows were float16 go on."""
    old = BankNCE(num_videos=NUM_VIDEOS, dim=DIM, seed=1).float()
    old.train()(unit(3, 2, DIM, seed=14).float(), INDEX, NEGATIVES)
    loaded = BankNCE(num_videos=NUM_VIDEOS, dim=DIM, seed=2)
    loaded.load_state_dict(old.state_dict())
    for bank, before in zip(loaded.banks, old.banks, strict=True):
        assert torch.equal(bank.vectors, before.vectors.half())
