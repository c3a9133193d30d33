"""How much earlier a student gets where its baselines end, and what noise alone would give for that."""

import math
import statistics
from collections.abc import Sequence

from scipy import stats

__all__ = [
    "WINDOW",
    "curve_area",
    "epoch_reached",
    "final_level",
    "interval",
    "lead_share",
    "null_ratios",
    "speed_ratio",
]

WINDOW = 3  # epochs of the running mean, and those that are a run's end


def final_level(curve: Sequence[float]) -> float:
    """Mean of a run's last `WINDOW` epochs.

    Args:
        curve: accuracy after each epoch, in [0, 1].
    """
    return statistics.fmean(curve[-WINDOW:])


def epoch_reached(curve: Sequence[float], level: float) -> int | None:
    """First epoch, from 1, whose mean with the `WINDOW` - 1 epochs before it is at or above a level.

    ```
    epoch            1     2     3     4     5
    curve          0.20  0.30  0.40  0.50  0.60
    running mean     -     -   0.30  0.40  0.50      level 0.35: reached at epoch 4
    ```

    Args:
        curve: accuracy after each epoch, in [0, 1].
        level: to get to.

    Returns:
        None if it is never reached.
    """
    for epoch in range(WINDOW, len(curve) + 1):
        if statistics.fmean(curve[epoch - WINDOW : epoch]) >= level:
            return epoch
    return None


def speed_ratio(curve: Sequence[float], baselines: Sequence[Sequence[float]]) -> float:
    """Epochs until the level at which the baselines end, by the epochs that there are.

    Args:
        curve: of one run.
        baselines: curves of the same network alone, one a seed; the level is the mean of their `final_level`.

    Returns:
        In (0, 1]; 1 + 1 / epochs for a run that never gets there: a failure, which is at least so late.
    """
    level = statistics.fmean(final_level(baseline) for baseline in baselines)
    reached = epoch_reached(curve, level)
    return (len(curve) + 1 if reached is None else reached) / len(curve)


def null_ratios(baselines: Sequence[Sequence[float]]) -> list[float]:
    """`speed_ratio` of each baseline against the others: what is to be expected of runs that are no different.

    Args:
        baselines: at least two curves, one a seed.

    Returns:
        One value a seed.
    """
    assert len(baselines) > 1, "a baseline is compared with others"
    return [speed_ratio(curve, [*baselines[:seed], *baselines[seed + 1 :]]) for seed, curve in enumerate(baselines)]


def curve_area(curve: Sequence[float]) -> float:
    """Mean accuracy over all epochs: the area under the curve, by its length."""
    return statistics.fmean(curve)


def lead_share(curve: Sequence[float], teacher: Sequence[float]) -> float:
    """Share of epochs, in [0, 1], in which a student is above what its teacher was after as many epochs.

    Args:
        curve: of the student.
        teacher: of its teacher, at least as long.
    """
    return statistics.fmean(student > other for student, other in zip(curve, teacher, strict=False))


def interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a mean by Student's t.

    Args:
        values: at least two that are independent, e.g. one a seed.
        confidence: in (0, 1).
    """
    assert len(values) > 1, "one value says nothing of how far others may be"
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return mean, mean
    low, high = stats.t.interval(confidence, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)
