"""Wilson's interval against SciPy's, and what holds of any interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from kdvideo.evaluation.intervals import wilson_interval


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_it_is_scipys(counts: tuple[int, int], level: float):
    """For every number of hits; `binomtest` takes whole hits alone."""
    hits, videos = counts
    reference = binomtest(hits, videos).proportion_ci(level, method="wilson")
    assert wilson_interval(hits / videos, videos, level=level) == pytest.approx((reference.low, reference.high))


@given(st.floats(0, 1), st.integers(1, 5000))
def test_it_holds_the_share_and_shrinks(share: float, videos: int):
    """Within [0, 1], around the share, narrower with more videos; a share of clips lies between whole hits."""
    low, high = wilson_interval(share, videos)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    more_low, more_high = wilson_interval(share, 4 * videos)
    assert more_high - more_low < high - low


def test_by_hand():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
