"""Intervals that cover the true value of an accuracy that was measured on some videos."""

import math
from statistics import NormalDist

__all__ = ["wilson_interval"]


def wilson_interval(share: float, num_videos: int, *, level: float = 0.95) -> tuple[float, float]:
    """Computes the interval of Wilson (1927) for a share of independent videos.

    It holds its level at 0 and 1, too. Videos that were cut from one recording are not independent: for such a list
    the true interval is wider.

    Args:
        share: of right answers, in [0, 1]. Where a metric counts clips or tuples, a video still counts once, because
            what comes from one video goes right or wrong together.
        num_videos: that were asked, at least 1.
        level: how often the interval covers the true share.

    Returns:
        Its ends, in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / num_videos
    center = (share + z * z / (2 * num_videos)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / num_videos + (z / (2 * num_videos)) ** 2)
    return max(center - half, 0.0), min(center + half, 1.0)
