"""Looking at one file, whatever it is: a fault is reported as the file's problem, never as an error of the command."""

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import RAISE_LIMIT, describe_error, system_error
from kdvideo.data.readers.probe import VideoProbe, probe

__all__ = ["Look", "look_at"]


class Look(NamedTuple):
    """What was found out about a file.

    Attributes:
        found: what the file is, or its problem.
        lasting: whether that holds until the file changes. A file that the system does not give now may be readable
            later.
    """

    found: VideoProbe
    lasting: bool = True


def look_at(path: Path, *, time_limit: float = TIME_LIMIT) -> Look:
    """Returns what `probe` finds out about a file.

    If the system or the time limit is the cause of a problem, the problem says so.
    """
    started = time.monotonic()
    try:
        found = probe(path, time_limit=time_limit)
    except OSError as error:  # the folder cannot be entered, or the file system refuses the name
        return Look(VideoProbe(problem=describe_error(error, path)), lasting=False)
    if found.problem is None and found.skipped == 0 and not found.missing:
        return Look(found)
    over = time.monotonic() - started >= time_limit
    # A disk that fails in the middle of a file looks like a damaged file to FFmpeg.
    if (unread := system_error(path, whole=not over)) is not None:
        return Look(VideoProbe(problem=describe_error(unread, path)), lasting=False)
    if over and found.problem is not None:
        found = replace(found, problem=f"{found.problem}: {RAISE_LIMIT}")
    return Look(found)
