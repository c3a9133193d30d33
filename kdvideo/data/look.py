"""Looking at one file, whatever it is: what is wrong is a problem of this file, never an error of the command."""

import time
from dataclasses import replace
from pathlib import Path

from kdvideo.data.decode import TIME_LIMIT
from kdvideo.data.file_errors import RAISE_LIMIT, describe_error, system_error
from kdvideo.data.probe import VideoProbe, probe

__all__ = ["look_at"]


def look_at(path: Path, *, time_limit: float = TIME_LIMIT) -> VideoProbe:
    """Returns what `probe` finds; a problem says what the system says, or which limit to raise, where that is it."""
    started = time.monotonic()
    try:
        found = probe(path, time_limit=time_limit)
    except OSError as error:  # of a folder that cannot be entered, or a name that the file system refuses
        return VideoProbe(problem=describe_error(error, path))
    if found.problem is None:
        return found
    if (unread := system_error(path)) is not None:
        return replace(found, problem=describe_error(unread, path))
    if time.monotonic() - started >= time_limit:
        return replace(found, problem=f"{found.problem}: {RAISE_LIMIT}")
    return found
