"""Which clips of a tuple still show what a teacher's view of the video shows, after the pretext's operation."""

from kdvideo.data.pretexts.base import Pretext
from kdvideo.data.pretexts.vcop import VCOP
from kdvideo.data.pretexts.vcp import VCP

__all__ = ["kept_clips"]


def kept_clips(pretext: type[Pretext], tuple_len: int) -> tuple[int, ...]:
    """Returns the places of the clips that a pretext leaves alone. Empty if it may change any clip.

    Args:
        pretext: a class of PRETEXTS. One of your own says it by its method `kept_clips`.
        tuple_len: the clips of a tuple.
    """
    # Not by methods of these two: the source of a pretext is part of replay keys, and theirs would become others.
    if pretext is VCP:
        return tuple(place for place in range(tuple_len) if place != tuple_len // 2)
    if pretext is VCOP:
        return tuple(range(tuple_len))  # shuffled, not changed
    return pretext.kept_clips(tuple_len)
