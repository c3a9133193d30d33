"""Errors of video files: what is wrong with one, and what the system says of one that it does not give.

What the system says is a fact about machine and moment, not about the video.
"""

import errno
import os
import stat
from pathlib import Path

__all__ = ["RAISE_LIMIT", "VideoError", "describe_error", "may_pass", "out_of_time", "reason_of", "system_error"]

RAISE_LIMIT = "raise the limit by --time-limit, for training and evaluation by DATA.TIME_LIMIT"

_CHUNK = 1 << 22  # bytes
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
# Errors of a network disk that is away or whose server restarts. By name, since no platform has them all.
_PASSING = (
    *("ENOENT", "ENOTDIR", "ESTALE", "EIO", "EREMOTEIO", "EAGAIN", "EINTR", "EBUSY", "ETIMEDOUT", "ENOTCONN", "ENODEV"),
    *("ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "ESHUTDOWN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN"),
    *("ENETRESET", "ENETUNREACH", "ENXIO"),
)
_PASSING_NUMBERS = frozenset(getattr(errno, name) for name in _PASSING if hasattr(errno, name))


class VideoError(ValueError):
    """A video that cannot be read, told as "video PATH REASON".

    Attributes:
        path: the file.
        reason: why, in one line, without the file's name.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)  # both are needed to unpickle the error in another process
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"video {self.path} {self.reason}"


def reason_of(error: Exception) -> str:
    """Returns why a video cannot be read, without its name."""
    return error.reason if isinstance(error, VideoError) else str(error)


def system_error(path: Path, *, whole: bool = False) -> OSError | None:
    """Returns why the system does not give a file now.

    Only its first byte is read, or with `whole` all of them. None means that the system gives the file, or that the
    path is no file.
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer, for ever
            with open(path, "rb", buffering=0) as stream:
                while stream.read(_CHUNK if whole else 1) and whole:
                    pass
    except OSError as error:
        return error
    return None


def describe_error(error: OSError, path: Path) -> str:
    """Returns the system's reason for a `VideoError`."""
    if error.errno not in _ABSENT:
        return f"cannot be opened: {error.strerror or error}"
    try:
        return f"is a link to {os.readlink(path)}, which does not exist"
    except OSError:
        return "does not exist"


def out_of_time(time_limit: float) -> str:
    """Returns the reason for a video that was given up."""
    return f"takes longer than {time_limit:g} s: {RAISE_LIMIT}"


def may_pass(error: OSError) -> bool:
    """Returns whether the file may soon be there again."""
    return error.errno in _PASSING_NUMBERS
