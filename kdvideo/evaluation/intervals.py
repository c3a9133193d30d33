"""Confidence intervals for accuracies that were measured on a limited number of videos."""

import math
from statistics import NormalDist

__all__ = ["wilson_interval"]


def wilson_interval(share: float, num_videos: int, *, level: float = 0.95) -> tuple[float, float]:
    """Computes the interval of Wilson (1927) for a share of independent videos.

    It keeps its level at 0 and 1, too. Videos that were cut from one recording are not independent. For a list of such
    videos, the true interval is wider.

    Args:
        share: share of right answers, in [0, 1]. If a metric counts clips or tuples, each video still counts once,
            because all samples of one video tend to be right or wrong together.
        num_videos: number of measured videos, at least 1.
        level: probability that the interval covers the true share.

    Returns:
        The lower and upper end, in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / num_videos
    center = (share + z * z / (2 * num_videos)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / num_videos + (z / (2 * num_videos)) ** 2)
    return max(center - half, 0.0), min(center + half, 1.0)
