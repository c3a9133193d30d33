"""The estimator: by hand, and on simulated runs among which there is no difference."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdvideo.study.estimator import (
    curve_area,
    epoch_reached,
    final_level,
    interval,
    lead_share,
    null_ratios,
    speed_ratio,
)

CURVES = st.lists(st.floats(0, 1, width=16), min_size=3, max_size=12)


def test_by_hand():
    curve = [0.2, 0.3, 0.4, 0.5, 0.6]  # running means 0.3, 0.4, 0.5 after epochs 3, 4, 5
    assert final_level(curve) == pytest.approx(0.5)
    assert curve_area(curve) == pytest.approx(0.4)
    assert [epoch_reached(curve, level) for level in (0.1, 0.29, 0.35, 0.49, 0.51)] == [3, 3, 4, 5, None]
    assert speed_ratio(curve, [[0.0, 0.4, 0.4, 0.4], [0.0, 0.3, 0.3, 0.3]]) == 4 / 5  # their level is 0.35
    assert speed_ratio(curve, [[0.9, 0.9, 0.9]]) == 6 / 5  # a failure counts, as later than the last epoch
    assert lead_share(curve, [0.1, 0.3, 0.5, 0.4, 0.4, 0.9]) == pytest.approx(3 / 5)


@given(CURVES, st.floats(0, 1, width=16))
def test_reached_equals_a_slow_loop(curve: list[float], level: float):
    expected = None
    for last in range(len(curve), 2, -1):
        if sum(curve[last - 3 : last]) / 3 >= level:
            expected = last
    if any(abs(sum(curve[last - 3 : last]) / 3 - level) < 1e-9 for last in range(3, len(curve) + 1)):
        return  # decided by rounding
    assert epoch_reached(curve, level) == expected


@given(CURVES)
def test_a_higher_level_is_never_reached_earlier(curve: list[float]):
    reached = [epoch_reached(curve, level / 10) or math.inf for level in range(11)]
    assert all(earlier <= later for earlier, later in pairwise(reached))


def test_null_compares_each_baseline_with_the_others():
    curves = [[0.1, 0.2, 0.3, 0.4, 0.4], [0.1, 0.1, 0.1, 0.2, 0.2], [0.5, 0.5, 0.5, 0.5, 0.5]]
    expected = [
        speed_ratio(curves[0], curves[1:]),
        speed_ratio(curves[1], curves[::2]),
        speed_ratio(curves[2], curves[:2]),
    ]
    assert null_ratios(curves) == expected
    assert expected[2] == 3 / 5


@pytest.mark.parametrize(("noise", "seed_noise"), [(0.02, 0.0), (0.03, 0.02), (0.01, 0.03)])
def test_no_effect_where_there_is_none(noise: float, seed_noise: float):
    """Students that learn exactly as their baselines do get the null's ratio: 2,000 studies of three seeds."""
    draws = np.random.default_rng(0)
    growth = 0.2 + 0.35 / (1 + np.exp(-(np.arange(1, 21) - 10) / 3))

    def curve() -> list[float]:
        return list(growth + draws.normal(0, seed_noise) + draws.normal(0, noise, len(growth)))

    students, nulls = [], []
    for _ in range(2000):
        baselines = [curve() for _ in range(3)]
        students.append(statistics.fmean(speed_ratio(curve(), baselines) for _ in range(3)))
        nulls.append(statistics.fmean(null_ratios(baselines)))
    # The level of three seeds is steadier than that of two, which moves the mean by 0.003 at most in these settings;
    # the rest is the error of 2,000 draws, 0.002.
    assert statistics.fmean(students) == pytest.approx(statistics.fmean(nulls), abs=0.008)
    # and a student twice as fast is told from them
    fast = [speed_ratio([*growth[1::2], *growth[-1:].repeat(10)], [curve() for _ in range(3)]) for _ in range(200)]
    assert statistics.fmean(fast) < statistics.fmean(nulls) - 0.2


@given(st.lists(st.floats(-1, 1, width=16), min_size=2, max_size=6))
def test_interval_is_students(values: list[float]):
    low, high = interval(values)
    if statistics.stdev(values) == 0:
        assert low == high == statistics.fmean(values)
        return
    test = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((test.low, test.high), abs=1e-9)
