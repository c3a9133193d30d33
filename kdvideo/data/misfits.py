"""Says in the log, once, which videos are too short or too small for a network's clips."""

import logging
from functools import cache

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.videos import VideoList

__all__ = ["tell_short", "tell_short_one", "tell_small"]

logger = logging.getLogger("kdvideo")


def tell_short(videos: VideoList, clip: ClipSpec, *, who: str = "the network") -> None:
    """Says how many videos have fewer frames than a clip needs. The same words are said once in a process.

    Args:
        videos: the videos.
        clip: the network's input convention.
        who: whose clip it is, for the log.
    """
    if count := sum(number < _least(clip) for number in videos.num_frames):
        least, how = _least(clip), _how(clip)
        _say(f"{count} of {len(videos)} videos have fewer than the {least} frames of {who}'s clip: they are {how}")


def tell_short_one(name: str, num_frames: int, clip: ClipSpec) -> None:
    """Says that a video has fewer frames than a clip needs, for the first such video in a process."""
    if num_frames < _least(clip):
        _say_of_first(name, num_frames, clip)


def tell_small(videos: VideoList, short_side: int, *, who: str = "the network") -> None:
    """Says how many videos are enlarged for a network. The same words are said once in a process.

    Args:
        videos: the videos. Nothing is said of those whose sizes are not known.
        short_side: pixels to which a frame's shorter side is resized.
        who: whose frames they are, for the log.
    """
    if small := [min(size) for size in videos.sizes if min(size) < short_side]:
        _say(
            f"{len(small)} of {len(videos)} videos are enlarged for {who}: their shorter side, {min(small)} pixels and "
            f"more, is below its {short_side}; if they are proxies, make larger ones (--short-side {short_side})"
        )


def _least(clip: ClipSpec) -> int:
    return clip.clip_len if clip.sampling == "uniform" else clip.extent


def _how(clip: ClipSpec) -> str:
    return "shown with frames repeated" if clip.sampling == "uniform" else "looped"


@cache
def _say(line: str) -> None:
    logger.info("%s", line)


_told: set[ClipSpec] = set()


def _say_of_first(name: str, num_frames: int, clip: ClipSpec) -> None:
    if clip not in _told:
        _told.add(clip)
        least, how = _least(clip), _how(clip)
        logger.info("%s has %d frames, fewer than the %d of a clip: such videos are %s", name, num_frames, least, how)
