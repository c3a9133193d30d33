"""Reading a video that could be read before: retries while the file is away, and reports one that is lost."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kdvideo.data.readers.file_errors import RAISE_LIMIT, describe_error, may_pass, reason_of, system_error

__all__ = ["LostVideoError", "allow_waiting", "read_patiently"]

T = TypeVar("T")
logger = logging.getLogger("kdvideo")
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds before each retry, about a minute in all
_SLICE = 0.1  # seconds; a pause checks as often whether it may go on
_may_wait = True


class LostVideoError(OSError):
    """A video that could be read before cannot be read any more.

    Attributes:
        reason: why, in one line, without the file's name.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)  # a DataLoader passes on its worker's message only
        self.reason = reason


def read_patiently(path: Path, read: Callable[[], T], *, time_limit: float) -> T:
    """Calls `read`, and retries while the file is away.

    Each try comes after a longer pause.

    Args:
        path: the video, which could be read before.
        read: reads the video from its start; raises ValueError or OSError if it cannot.
        time_limit: seconds that `read` gives the video.

    Raises:
        LostVideoError: the file is away for about a minute, has become another one, or takes longer than `time_limit`.
    """
    pauses, back = iter(_PAUSES), False
    while True:
        started = time.monotonic()
        try:
            return read()
        except (ValueError, OSError) as error:
            failed = error
        over = time.monotonic() - started >= time_limit
        # A disk that fails in the middle of a file looks like a damaged file to FFmpeg.
        away = system_error(path, whole=not over) or (failed if isinstance(failed, OSError) else None)
        if away is None:
            if over:
                raise _lost(failed, path, f": {RAISE_LIMIT}")
            if back:  # the file was there before the last try, too: it is another one now
                raise _lost(failed, path, "; it could be read when the run began: bring it back as it was")
            back = True
            continue
        back = False
        pause = next(pauses, None) if may_pass(away) else None
        if pause is None:
            raise _lost(failed, path, "; it could be read when the run began: bring it back as it was")
        logger.warning("video %s %s: trying again in %g s", path, describe_error(away, path), pause)
        if not _wait(pause):
            raise _lost(failed, path, "; trying again ended, since the run was asked to stop")


def allow_waiting(allowed: bool) -> None:
    """Allows this process's pauses, or ends them at once.

    Pauses that were ended stay off until they are allowed again. A signal handler may call it.
    """
    global _may_wait
    _may_wait = allowed


def _wait(seconds: float) -> bool:
    """Waits for `seconds`. Returns False if the pause was ended early."""
    until = time.monotonic() + seconds
    while _may_wait and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE))
    return _may_wait


def _lost(failed: Exception, path: Path, advice: str) -> LostVideoError:
    why = describe_error(failed, path) if isinstance(failed, OSError) else reason_of(failed)
    limit = advice if advice.startswith(":") else ""
    return LostVideoError(f"video {path} {why}{advice}", reason=why + limit)
