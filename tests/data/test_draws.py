"""Seeded draws against numpy's Philox words, literal numbers, and what a fair draw must look like."""

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdvideo.data.draws import Draws

# The upper 1e-6 quantiles of chi-square by degrees of freedom. The draws are fixed by their seeds, so a test either
# always passes or never does; a fair source fails for one choice of seed in a million. A cell of which e are expected
# and that is off by the share d adds e d^2: with e = 1000 a cell 30 % off adds 90, with e = 200 one 60 % off adds 72,
# both above the bound, and a cell that never comes adds e.
CHI_SQUARE_BOUND = {11: 48.9, 19: 63.7, 23: 70.6}


def chi_square(values, cells):
    """Sum of (seen - expected)^2 / expected over equally likely cells; values outside of them are an error."""
    counts = dict.fromkeys(cells, 0)
    for value in values:
        counts[value] += 1
    expected = len(values) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts.values())


def assert_uniform(values, cells):
    cells = list(cells)
    assert chi_square(values, cells) < CHI_SQUARE_BOUND[len(cells) - 1]


def philox_words(seed, purpose, epoch, index, count):
    """The raw words of the generator whose key is (seed, purpose) and whose counter starts at (0, 0, index, epoch)."""
    key = [seed, int.from_bytes(purpose.encode()[:8], "little")]
    philox = np.random.Philox(key=key, counter=[0, 0, index, epoch])
    return [int(philox.random_raw()) for _ in range(count)]


def sequence(draws):
    """A taste of every method, as plain numbers."""
    return [
        draws.integer(2**60),
        draws.uniform(),
        draws.uniform(-3, 5),
        draws.chance(0.5),
        *draws.permutation(10).tolist(),
        *draws.distinct(4, 1000).tolist(),
        draws.integer(2**60),
    ]


@pytest.mark.parametrize(
    ("seed", "purpose", "epoch", "index"), [(0, "sample", 0, 0), (7, "order", 3, 0), (1, "crop", 2, 12345)]
)
@pytest.mark.parametrize("bound", [1, 2, 1000, 10**9, 2**60])
def test_integers_are_the_upper_bits_of_philox_words(seed, purpose, epoch, index, bound):
    """integer(bound) is word * bound >> 64, one word a draw."""
    draws = Draws(seed, purpose, epoch=epoch, index=index)
    words = philox_words(seed, purpose, epoch, index, 9)  # more than the four words of one Philox block
    assert [draws.integer(bound) for _ in words] == [word * bound >> 64 for word in words]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (0.1, 2.0)])
def test_uniforms_are_53_bits_of_philox_words(low, high):
    """uniform(low, high) is (word >> 11) 2^-53, scaled."""
    draws = Draws(7, "order", epoch=3)
    expected = [low + (high - low) * ((word >> 11) * 2.0**-53) for word in philox_words(7, "order", 3, 0, 9)]
    # How the scaling is bracketed may cost a rounding or two of numbers up to 8: 2e-15.
    assert [draws.uniform(low, high) for _ in expected] == pytest.approx(expected, abs=1e-14, rel=0)


@pytest.mark.parametrize(
    ("seed", "purpose", "epoch", "index", "integers", "uniforms"),
    [
        (
            0,
            "sample",
            0,
            0,
            [954986323, 535459194, 733604640, 45628501, 795510828],
            [0.9549863231924326, 0.5354591943900575, 0.733604640221071, 0.04562850133773311, 0.7955108287184387],
        ),
        (
            7,
            "order",
            3,
            0,
            [57396643, 173546577, 554528743, 348919302, 311492066],
            [0.057396643764241806, 0.1735465772936965, 0.554528743233371, 0.348919302605158, 0.3114920662834798],
        ),
        (
            1,
            "crop",
            2,
            12345,
            [709375152, 43668863, 402333076, 10621012, 849692796],
            [0.7093751526572226, 0.04366886300843098, 0.4023330766719023, 0.010621012978118793, 0.8496927968061828],
        ),
    ],
)
def test_literal_draws(seed, purpose, epoch, index, integers, uniforms):
    """These numbers must never change, whatever the version of numpy: plans are recomputed and compared by them."""
    draws = Draws(seed, purpose, epoch=epoch, index=index)
    assert [draws.integer(10**9) for _ in integers] == integers
    draws = Draws(seed, purpose, epoch=epoch, index=index)
    assert [draws.uniform() for _ in uniforms] == uniforms  # exact: a product with a power of two


def test_the_same_arguments_give_the_same_sequence():
    """Two generators of one key agree in every method, and epoch and index are 0 by default."""
    assert sequence(Draws(3, "a", epoch=1, index=2)) == sequence(Draws(3, "a", epoch=1, index=2))
    assert sequence(Draws(3, "a")) == sequence(Draws(3, "a", epoch=0, index=0))


def test_generators_do_not_share_state():
    """Two generators drawn from in turns each give what they give alone."""
    alone = [Draws(3, "a").integer(10**9), Draws(3, "b").integer(10**9)]
    first, second = Draws(3, "a"), Draws(3, "b")
    turns = [first.integer(10**9), second.integer(10**9), first.integer(10**9), second.integer(10**9)]
    assert turns[:2] == alone
    assert turns[2:] != alone


def test_any_other_argument_gives_another_sequence():
    """Changing seed, purpose, epoch or index, or exchanging their values, changes the numbers."""
    keys = [
        (seed, purpose, epoch, index)
        for seed in (0, 1, 2)
        for purpose in "ab"
        for epoch in (0, 1, 2)
        for index in (0, 1, 2)
    ]
    firsts = {Draws(seed, purpose, epoch=epoch, index=index).integer(2**63) for seed, purpose, epoch, index in keys}
    # 54 numbers of 63 bits: two alike by chance once in 10^16.
    assert len(firsts) == len(keys)


def test_streams_of_neighbouring_keys_do_not_overlap():
    """No number of one key's first 100 occurs among those of its neighbours in seed, epoch and index."""
    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1)]
    numbers = set()
    for seed, epoch, index in keys:
        draws = Draws(seed, "a", epoch=epoch, index=index)
        numbers |= {draws.integer(2**63) for _ in range(100)}
    assert len(numbers) == 100 * len(keys)


@pytest.mark.parametrize("purpose", ["", "negatives"])
def test_purposes_fill_one_word(purpose: str):
    """More than eight bytes would share their numbers with other purposes that begin alike."""
    with pytest.raises(AssertionError, match="1 to 8 bytes"):
        Draws(0, purpose)


def test_global_generators_do_not_matter_and_do_not_move():
    """Seeding numpy, torch and random changes no draw, and drawing advances none of them."""
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what this is about
        torch.manual_seed(seed)
        random.seed(seed)
        before = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
        results.append(sequence(Draws(5, "a")))
        after = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
        assert before[0][2] == after[0][2]
        assert np.array_equal(before[0][1], after[0][1])
        assert torch.equal(before[1], after[1])
        assert before[2] == after[2]
    assert results[0] == results[1]


@given(seed=st.integers(0, 2**32), bound=st.integers(1, 2**63))
def test_integers_lie_below_their_bound(seed, bound):
    """integer(bound) lies in [0, bound)."""
    draws = Draws(seed, "a")
    assert all(0 <= draws.integer(bound) < bound for _ in range(5))


@given(seed=st.integers(0, 2**32), low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_uniforms_lie_in_their_interval(seed, low, width):
    """uniform(low, high) lies in [low, high)."""
    draws = Draws(seed, "a")
    assert all(low <= draws.uniform(low, low + width) < low + width for _ in range(5))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_impossible_and_certain_chances(probability):
    """chance(0) never comes, chance(1) always does."""
    draws = Draws(0, "a")
    assert {draws.chance(probability) for _ in range(1000)} == {bool(probability)}


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_chances_come_as_often_as_they_say(probability):
    """Among 10000 chances of p about p come."""
    draws = Draws(0, "a")
    seen = sum(draws.chance(probability) for _ in range(10_000)) / 10_000
    # Five standard deviations of a share of 10000, at most 0.005 each: 0.025.
    assert abs(seen - probability) < 5 * (probability * (1 - probability) / 10_000) ** 0.5


@given(seed=st.integers(0, 2**32), count=st.integers(0, 300))
def test_permutations_hold_every_number_once(seed, count):
    """permutation(count) is an int64 array of 0 to count - 1 in some order."""
    permutation = Draws(seed, "a").permutation(count)
    assert permutation.dtype == np.int64
    assert sorted(permutation.tolist()) == list(range(count))


def counts_and_populations():
    small = st.integers(1, 200).flatmap(lambda population: st.tuples(st.integers(0, population), st.just(population)))
    large = st.tuples(st.integers(0, 300), st.sampled_from([10**4, 10**6, 10**9]))
    whole = st.integers(1, 500).map(lambda population: (population, population))
    return st.one_of(small, large, whole)


@given(seed=st.integers(0, 2**32), sizes=counts_and_populations())
def test_distinct_numbers_differ_and_lie_in_the_population(seed, sizes):
    """distinct(count, population) is an int64 array of that many different numbers of [0, population)."""
    count, population = sizes
    numbers = Draws(seed, "a").distinct(count, population)
    assert numbers.dtype == np.int64
    assert numbers.shape == (count,)
    assert len(set(numbers.tolist())) == count
    assert all(0 <= number < population for number in numbers.tolist())


def test_a_large_population_is_drawn_from_without_listing_it():
    """A thousand of a billion: an array of the population would take 8 GB, so this would not end well."""
    numbers = Draws(0, "a").distinct(1000, 10**9)
    assert len(set(numbers.tolist())) == 1000
    # The greatest of 1000 uniform numbers stays below 97 % of the range with probability 0.97^1000, 6e-14.
    assert numbers.max() > 0.97e9
    assert numbers.min() < 0.03e9


def test_integers_are_uniform():
    """20000 integers below 20 fall evenly, along one sequence."""
    draws = Draws(0, "a")
    assert_uniform([draws.integer(20) for _ in range(20_000)], range(20))


@pytest.mark.parametrize("argument", ["seed", "epoch", "index"])
def test_first_draws_are_uniform_across_keys(argument):
    """The first integer of 4000 consecutive keys falls evenly: keys that differ by one are unrelated."""
    firsts = []
    for value in range(4000):
        key = {"seed": 0, "epoch": 0, "index": 0, argument: value}
        firsts.append(Draws(key["seed"], "a", epoch=key["epoch"], index=key["index"]).integer(20))
    assert_uniform(firsts, range(20))


def test_uniforms_are_uniform():
    """20000 numbers of [2, 6) fall evenly into 20 cells."""
    draws = Draws(0, "a")
    assert_uniform([int((draws.uniform(2, 6) - 2) * 5) for _ in range(20_000)], range(20))


def test_permutations_are_uniform():
    """Every one of the 24 orders of 4 comes equally often."""
    draws = Draws(0, "a")
    orders = list(itertools.permutations(range(4)))
    assert_uniform([tuple(draws.permutation(4).tolist()) for _ in range(6000)], orders)


def test_distinct_numbers_are_uniform_with_their_order():
    """Every ordered pair of 4 numbers comes equally often: the numbers are in drawn order, not sorted."""
    draws = Draws(0, "a")
    pairs = list(itertools.permutations(range(4), 2))
    assert_uniform([tuple(draws.distinct(2, 4).tolist()) for _ in range(6000)], pairs)


def test_all_of_a_population_comes_in_every_order():
    """distinct(4, 4) is a fair permutation."""
    draws = Draws(0, "a")
    orders = list(itertools.permutations(range(4)))
    assert_uniform([tuple(draws.distinct(4, 4).tolist()) for _ in range(6000)], orders)


def test_distinct_numbers_of_a_large_population_are_uniform():
    """Every place in the drawn order is spread evenly over a billion, cut into 20."""
    numbers = np.array([Draws(0, "a", index=index).distinct(2, 10**9) for index in range(4000)])
    for place in range(2):
        assert_uniform((numbers[:, place] // (10**9 // 20)).tolist(), range(20))
