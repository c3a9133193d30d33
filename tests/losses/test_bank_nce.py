"""NCE against memory banks, against loops and in closed form."""

import math

import pytest
import torch
from slow_nce import ATOL, DIM, FLOAT16, INDEX, NEGATIVES, NUM_VIDEOS, dot, slow_bank_nce, unit
from torch.nn.functional import normalize

from kdvideo.losses import BankNCE, BatchNCE, MemoryBank


def bank_loss(**options):
    """In float64, the bank too, so that the definition is met without rounding."""
    return BankNCE(**{"num_videos": NUM_VIDEOS, "dim": DIM, "num_negatives": 4, **options}).double()


def bank_vectors(loss):
    return [bank.vectors.clone() for bank in loss.banks]


def set_banks(loss, first, last):
    with torch.no_grad():
        loss.banks[0].vectors.copy_(first)
        loss.banks[1].vectors.copy_(last)
    return loss


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_bank_nce_is_the_sum_over_both_clips_of_the_definition(temperature, training):
    """The value is the papers' loss on the banks as they were before the step, in both modes."""
    loss = bank_loss(temperature=temperature).train(training)
    z = unit(3, 2, DIM, seed=1)
    banks = [bank.tolist() for bank in bank_vectors(loss)]
    expected = slow_bank_nce(z.tolist(), banks, INDEX.tolist(), NEGATIVES.tolist(), temperature)
    value = loss(z, INDEX, NEGATIVES)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, abs=ATOL, rel=0)


@pytest.mark.parametrize(("batch", "negatives"), [(1, 1), (1, 8), (8, 1), (5, 8)])
def test_bank_nce_for_several_batch_sizes_and_numbers_of_negatives(batch, negatives):
    """The definition holds from a single video with a single negative up to every other video as a negative."""
    loss = bank_loss(num_negatives=negatives).eval()
    generator = torch.Generator().manual_seed(2)
    index = torch.randperm(NUM_VIDEOS, generator=generator)[:batch]
    others = [[v for v in range(NUM_VIDEOS) if v != i][:negatives] for i in index.tolist()]
    z = unit(batch, 2, DIM, seed=3)
    expected = slow_bank_nce(
        z.tolist(), [bank.tolist() for bank in bank_vectors(loss)], index.tolist(), others, temperature=0.07
    )
    assert loss(z, index, torch.tensor(others)).item() == pytest.approx(expected, abs=ATOL, rel=0)


def test_bank_nce_defaults_are_the_papers():
    """Without options: 128 dimensions, 1024 negatives, and the temperature 0.07 (read off a two-way choice)."""
    loss = BankNCE(num_videos=2000).double().eval()
    assert loss.num_negatives == 1024
    assert all(bank.vectors.shape == (2000, 128) for bank in loss.banks)
    axes = torch.eye(128, dtype=torch.float64)
    set_banks(loss, axes[1].expand(2000, -1), axes[1].expand(2000, -1))
    for bank in loss.banks:
        bank.vectors[0] = axes[0]
    z = axes[0].expand(1, 2, 128)
    value = loss(z, torch.tensor([0]), torch.tensor([[1]])).item()
    # 2 log(1 + exp(-1/0.07)) is 1.2e-6 in all, so it is its logarithm that tells the temperature; the loss is rounded
    # by some 1e-16 in a sum with 14, 1e-9 of itself.
    assert math.log(value) == pytest.approx(math.log(2 * math.log1p(math.exp(-1 / 0.07))), abs=ATOL, rel=0)


@pytest.mark.parametrize("negatives", [1, 3, 8])
def test_bank_nce_of_equal_bank_vectors_is_the_log_of_the_candidates(negatives):
    """Where all bank vectors are equal no candidate stands out: 2 log(K + 1), whatever z is."""
    loss = bank_loss(num_negatives=negatives).eval()
    same = unit(DIM, seed=4).expand(NUM_VIDEOS, -1)
    set_banks(loss, same, same)
    drawn = torch.tensor([[v for v in range(NUM_VIDEOS) if v != i][:negatives] for i in INDEX.tolist()])
    value = loss(unit(3, 2, DIM, seed=5), INDEX, drawn).item()
    assert value == pytest.approx(2 * math.log(negatives + 1), abs=ATOL, rel=0)


def test_bank_nce_is_symmetric_in_the_clips():
    """Exchanging the two clips together with the two banks leaves the value; exchanging the clips alone does not."""
    loss = bank_loss().eval()
    first, last = bank_vectors(loss)
    z = unit(3, 2, DIM, seed=6)
    value = loss(z, INDEX, NEGATIVES).item()
    assert abs(loss(z.flip(1), INDEX, NEGATIVES).item() - value) > 1e-3  # unrelated banks: a different number
    set_banks(loss, last, first)
    assert loss(z.flip(1), INDEX, NEGATIVES).item() == pytest.approx(value, abs=ATOL, rel=0)


def test_bank_nce_compares_each_clip_with_the_bank_of_the_other():
    """With the first clip equal to its vector in the last clips' bank, and so on, the loss is (nearly) nothing."""
    axes = torch.eye(NUM_VIDEOS, dtype=torch.float64)
    loss = bank_loss(dim=NUM_VIDEOS, temperature=0.07).eval()
    set_banks(loss, axes, axes.roll(1, 0))
    crossed = torch.stack([axes.roll(1, 0)[INDEX], axes[INDEX]], dim=1)
    # Video v is axis v in bank 0 and axis v - 1 in bank 1; the negatives are other videos, so every other similarity
    # is 0 and the loss is in closed form.
    expected = 2 * math.log1p(4 * math.exp(-1 / 0.07))
    assert loss(crossed, INDEX, NEGATIVES).item() == pytest.approx(expected, abs=1e-12, rel=0)
    assert loss(crossed.flip(1), INDEX, NEGATIVES).item() > 1


def test_bank_nce_does_not_depend_on_the_order_of_the_negatives():
    """The negatives of a video are a set."""
    loss = bank_loss().eval()
    z = unit(3, 2, DIM, seed=7)
    value = loss(z, INDEX, NEGATIVES).item()
    assert loss(z, INDEX, NEGATIVES.flip(1)).item() == pytest.approx(value, abs=ATOL, rel=0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 1.0])
def test_training_moves_the_videos_of_the_batch_in_their_banks(momentum):
    """bank[i][index] becomes normalise(m old + (1 - m) z_i), every other row stays to the bit."""
    loss = bank_loss(momentum=momentum).train()
    before = bank_vectors(loss)
    z = unit(3, 2, DIM, seed=8)
    loss(z, INDEX, NEGATIVES)
    for clip, (old, bank) in enumerate(zip(before, loss.banks, strict=True)):
        untouched = [v for v in range(NUM_VIDEOS) if v not in INDEX.tolist()]
        assert torch.equal(bank.vectors[untouched], old[untouched])
        for b, video in enumerate(INDEX.tolist()):
            mixed = [
                momentum * x + (1 - momentum) * y for x, y in zip(old[video].tolist(), z[b, clip].tolist(), strict=True)
            ]
            norm = math.sqrt(dot(mixed, mixed))
            assert bank.vectors[video].tolist() == pytest.approx([x / norm for x in mixed], abs=ATOL, rel=0)


def test_the_default_momentum_is_a_half():
    """Without the option old and new count alike, as in the code of CMC."""
    loss = bank_loss().train()
    old = loss.banks[0].vectors[4].clone()
    z = unit(1, 2, DIM, seed=9)
    loss(z, INDEX[:1], NEGATIVES[:1])
    expected = normalize(old + z[0, 0], dim=0)
    assert torch.allclose(loss.banks[0].vectors[4], expected, atol=ATOL, rtol=0)


def test_bank_rows_stay_unit_vectors_over_many_steps():
    """Thirty steps leave every row that they moved at length 1."""
    loss = bank_loss().train()
    for step in range(30):
        loss(unit(3, 2, DIM, seed=step), INDEX, NEGATIVES)
    for bank in loss.banks:
        # A fresh float64 normalisation of 6 numbers is right to about 1e-16 a number; the others start as float16.
        lengths = bank.vectors.norm(dim=1)
        assert torch.allclose(lengths[INDEX], torch.ones(len(INDEX)).double(), atol=ATOL, rtol=0)
        assert torch.allclose(lengths, torch.ones(NUM_VIDEOS).double(), atol=FLOAT16, rtol=0)


def test_evaluation_leaves_the_banks():
    """In eval mode the banks are the same to the bit after a call."""
    loss = bank_loss().eval()
    before = bank_vectors(loss)
    loss(unit(3, 2, DIM, seed=10), INDEX, NEGATIVES)
    assert all(torch.equal(bank.vectors, old) for bank, old in zip(loss.banks, before, strict=True))


def test_bank_nce_gradient_matches_finite_differences():
    """The derivative with respect to z is that of the value (central differences in float64)."""
    loss = bank_loss(temperature=0.5).eval()
    z = unit(3, 2, DIM, seed=11).requires_grad_()
    # The defaults (step 1e-6, absolute 1e-5, relative 1e-3) fit float64: the differences' own error is some 1e-10.
    assert torch.autograd.gradcheck(lambda x: loss(x, INDEX, NEGATIVES), (z,))


def test_training_gives_the_gradient_of_evaluation():
    """Moving the banks after the loss does not reach into its derivative."""
    loss = bank_loss()
    gradients = []
    for training in (False, True):  # evaluation first: training moves the banks
        z = unit(3, 2, DIM, seed=12).requires_grad_()
        loss.train(training)(z, INDEX, NEGATIVES).backward()
        gradients.append(z.grad)
    assert gradients[0].abs().max() > 0.1
    assert torch.equal(*gradients)


def test_banks_take_no_gradient():
    """The banks are buffers outside of autograd, before and after a training step."""
    loss = bank_loss().train()
    assert list(loss.parameters()) == []
    buffers = {id(buffer) for buffer in loss.buffers()}
    assert all(id(bank.vectors) in buffers for bank in loss.banks)
    loss(unit(3, 2, DIM, seed=13).requires_grad_(), INDEX, NEGATIVES).backward()
    for bank in loss.banks:
        assert not bank.vectors.requires_grad
        assert bank.vectors.grad_fn is None
        assert bank.vectors.grad is None


@pytest.mark.parametrize(("num_videos", "asked", "expected"), [(2, 1024, 1), (9, 1024, 8), (9, 8, 8), (9, 7, 7)])
def test_num_negatives_is_at_most_the_other_videos(num_videos, asked, expected):
    """There are only num_videos - 1 other videos to draw from."""
    assert BankNCE(num_videos=num_videos, dim=4, num_negatives=asked).num_negatives == expected


@pytest.mark.parametrize("num_videos", [0, 1])
def test_fewer_than_two_videos_are_refused(num_videos):
    """Without another video there is nothing to contrast with."""
    with pytest.raises(ValueError, match=f"at least 2 videos .* not {num_videos}$"):
        BankNCE(num_videos=num_videos)


def test_banks_start_as_two_different_sets_of_unit_vectors():
    """Each bank holds one unit row a video, and the two banks are drawn apart."""
    loss = BankNCE(num_videos=50, dim=16)
    assert len(loss.banks) == 2
    for bank in loss.banks:
        assert isinstance(bank, MemoryBank)
        assert bank.vectors.shape == (50, 16)
        vectors = bank.vectors.float()
        # Each number is off by 2^-11 of itself at most, so the length is.
        assert torch.allclose(vectors.norm(dim=1), torch.ones(50), atol=FLOAT16, rtol=0)
        similarity = vectors @ vectors.T - torch.eye(50)
        assert similarity.max() < 0.999  # no two videos share a vector
    assert not torch.allclose(loss.banks[0].vectors, loss.banks[1].vectors)


def test_the_seed_alone_decides_the_first_bank_vectors():
    """The same seed gives the same banks under any global seed, and another seed gives others."""
    torch.manual_seed(1)
    one = BankNCE(num_videos=5, dim=4, seed=3)
    torch.manual_seed(2)
    two = BankNCE(num_videos=5, dim=4, seed=3)
    other = BankNCE(num_videos=5, dim=4, seed=4)
    for i in range(2):
        assert torch.equal(one.banks[i].vectors, two.banks[i].vectors)
        assert not torch.allclose(one.banks[i].vectors, other.banks[i].vectors)


def test_no_two_seeds_share_a_bank():
    """The banks of neighbouring seeds are all different ones, not the same shifted from one seed to the next."""
    banks = [bank.vectors for seed in range(4) for bank in BankNCE(num_videos=5, dim=4, seed=seed).banks]
    assert len({tuple(bank.flatten().tolist()) for bank in banks}) == 8


def test_state_dict_round_trip_keeps_the_banks():
    """A loss loaded from another's state goes on with the same banks and gives the same value."""
    trained = bank_loss(seed=1).train()
    trained(unit(3, 2, DIM, seed=14), INDEX, NEGATIVES)
    loaded = bank_loss(seed=2)
    loaded.load_state_dict(trained.state_dict())
    z = unit(3, 2, DIM, seed=15)
    for one, two in zip(trained.banks, loaded.banks, strict=True):
        assert torch.equal(one.vectors, two.vectors)
    assert loaded(z, INDEX, NEGATIVES).item() == trained(z, INDEX, NEGATIVES).item()


def test_float32_agrees_with_float64():
    """Both losses give in training precision what they give in float64."""
    z = unit(3, 2, DIM, seed=23)
    double = bank_loss(num_negatives=4).eval()
    single = BankNCE(num_videos=NUM_VIDEOS, dim=DIM, num_negatives=4).eval()
    # Logits reach 1/0.07 = 14 and a float32 has 6e-8 of that, 1e-6; a handful of them are added.
    tolerance = 2e-5
    for exact, rounded in ((double, single), (BatchNCE(), BatchNCE())):
        value = rounded(z.float(), INDEX, NEGATIVES)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact(z, INDEX, NEGATIVES).item(), abs=tolerance, rel=0)
