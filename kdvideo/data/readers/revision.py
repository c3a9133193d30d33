"""Tells which files are read differently from the kdvideo that wrote manifests of format 1.

That kdvideo read the first video track, stopped at the first packet that could not be decoded, and turned mirrored
pictures. What it found out about any other file still holds, so a checked dataset need not be checked again.
"""

from pathlib import Path

import av

from kdvideo.data.readers.orientation import Orientation, orientation_of
from kdvideo.data.readers.pyav import open_video

__all__ = ["REVISION", "is_shown_otherwise", "still_holds"]

REVISION = 1  # of files that are read differently; all others have 0
_TURNED = (  # by quarters, counter-clockwise
    Orientation(),
    Orientation(transpose=True, flip_y=True),
    Orientation(flip_x=True, flip_y=True),
    Orientation(transpose=True, flip_x=True),
)


def is_shown_otherwise(frame: av.VideoFrame) -> bool:
    """Returns whether format 1's kdvideo turned the frame's picture differently."""
    quarters = frame.rotation // 90 % 4 if frame.rotation % 90 == 0 else 0
    return orientation_of(frame) != _TURNED[quarters]


def still_holds(path: Path, *, frames: int, time_limit: float) -> bool:
    """Returns whether a format 1 manifest's line still holds.

    Packets are counted and the first frame is decoded, which takes a fraction of the time of decoding all frames.

    Args:
        path: the video; for a proxy, its source.
        frames: the number of frames in the manifest; 0 never holds.
        time_limit: seconds.
    """
    packets, first = 0, None
    try:
        with open_video(path, time_limit=time_limit) as (container, stream):
            if stream.index != container.streams.video[0].index:
                return False
            for packet in container.demux(stream):
                packets += packet.size > 0
                if first is None:
                    first = next(iter(packet.decode()), None)
    except (av.FFmpegError, OSError, ValueError):
        return False
    # As many packets as frames: each packet could be decoded.
    return first is not None and not is_shown_otherwise(first) and packets == frames
