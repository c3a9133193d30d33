"""The length that a file states. A copy or download that was cut off states more than it has.

Only what a muxer has written into the file counts, not what FFmpeg estimates from the file's size. It must be about the
video alone, since sound may be longer.
"""

import re
from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

__all__ = ["missing_seconds", "stated_seconds"]

_SHARE = 0.1  # of the stated length may be missing, since headers are often wrong by a few frames
_LEAST = 0.5  # seconds


def stated_seconds(container: InputContainer, stream: VideoStream, *, rate: Fraction | None) -> float:
    """Returns the length in seconds that a file states. It is 0.0 if the file states none.

    Args:
        container: the opened file.
        stream: its video track.
        rate: frames per second that the track states.
    """
    names = set(container.format.name.split(","))
    if "avi" in names:
        return float(stream.frames / rate) if rate else 0.0
    if "mov" in names:
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    if "matroska" in names and (found := re.match(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))):
        return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    if names & {"matroska", "flv"} and len(container.streams) == 1:
        return (container.duration or 0) / 1e6
    return 0.0


def missing_seconds(stated: float, *, end: float, stated_frames: int, frames: int) -> float:
    """Returns how many seconds are missing at a file's end. A tenth of the stated length or less counts as 0.0.

    Args:
        stated: what `stated_seconds` returns.
        end: when the last delivered frame ends, in seconds.
        stated_frames: the number of frames in the header, 0 if it has none. A file that gives as many is whole,
            whatever its times say, since a last picture may stand for long.
        frames: how many frames were delivered, plus those that could not be decoded.
    """
    missing = stated - end
    whole = stated_frames > 0 and frames >= (1 - _SHARE) * stated_frames
    return 0.0 if whole or missing <= max(_LEAST, _SHARE * stated) else round(missing, 2)
