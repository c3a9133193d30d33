"""Estimates how much earlier a student reaches its baselines' final level, and how much of it noise can explain."""

import math
import statistics
from collections.abc import Sequence

from kdvideo.extras import extra_imports

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

WINDOW = 3  # number of epochs in the running mean, and in the mean at a run's end


def final_level(curve: Sequence[float]) -> float:
    """Returns the mean of a run's last `WINDOW` epochs.

    Args:
        curve: accuracy after each epoch, in [0, 1].
    """
    return statistics.fmean(curve[-WINDOW:])


def epoch_reached(curve: Sequence[float], level: float) -> int | None:
    """Returns the first epoch whose running mean reaches a level.

    The mean is over this epoch and the `WINDOW` - 1 before it; epochs count from 1.

    ```
    epoch            1     2     3     4     5
    curve          0.20  0.30  0.40  0.50  0.60
    running mean     -     -   0.30  0.40  0.50      level 0.35: reached at epoch 4
    ```

    Args:
        curve: accuracy after each epoch, in [0, 1].
        level: the accuracy to reach.

    Returns:
        The epoch, or None if the level is never reached.
    """
    for epoch in range(WINDOW, len(curve) + 1):
        if statistics.fmean(curve[epoch - WINDOW : epoch]) >= level:
            return epoch
    return None


def speed_ratio(curve: Sequence[float], baselines: Sequence[Sequence[float]]) -> float:
    """Returns the share of all epochs until a run reaches its baselines.

    The level to reach is the mean `final_level` of the baselines.

    Args:
        curve: the run's accuracy after each epoch.
        baselines: curves of the same network alone, one per seed.

    Returns:
        A number in (0, 1]. For a run that never reaches the level it is 1 + 1 / epochs, since it is at least that late.
    """
    level = statistics.fmean(final_level(baseline) for baseline in baselines)
    reached = epoch_reached(curve, level)
    return (len(curve) + 1 if reached is None else reached) / len(curve)


def null_ratios(baselines: Sequence[Sequence[float]]) -> list[float]:
    """Returns the `speed_ratio` of each baseline against the others.

    This is the expected result for runs that do not differ.

    Args:
        baselines: at least two curves, one per seed.

    Returns:
        One value per seed.
    """
    assert len(baselines) > 1, "a baseline is compared with others"
    return [speed_ratio(curve, [*baselines[:seed], *baselines[seed + 1 :]]) for seed, curve in enumerate(baselines)]


def curve_area(curve: Sequence[float]) -> float:
    """Returns the mean accuracy over all epochs. It is the area under the curve, divided by its length."""
    return statistics.fmean(curve)


def lead_share(curve: Sequence[float], teacher: Sequence[float]) -> float:
    """Returns the share of epochs in which a student leads its teacher.

    At each epoch, both have been trained for the same number of epochs.

    Args:
        curve: the student's accuracy after each epoch.
        teacher: the teacher's, for at least as many epochs.

    Returns:
        A number in [0, 1].
    """
    return statistics.fmean(student > other for student, other in zip(curve, teacher, strict=False))


def interval(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the interval of a mean by Student's t.

    Args:
        values: at least two independent values, e.g. one per seed.
        confidence: in (0, 1).
    """
    assert len(values) > 1, "one value says nothing of how far others may be"
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return mean, mean
    with extra_imports():
        from scipy import stats
    low, high = stats.t.interval(confidence, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)
