"""The part of a download that has arrived, beside its target until it is whole."""

import os
import stat
from pathlib import Path
from typing import IO

import simplejson

from kdvideo.files import publish_file, write_text
from kdvideo.foreign import parse_json, read_text

__all__ = ["PartialFile"]


class PartialFile:
    """What has arrived of a file so far.

    It lies in `.NAME.part`, for the next attempt or the next process. Its description `.NAME.part.json` says the
    address and the version (the server's ETag or date), so that bytes of two versions are never joined.
    """

    def __init__(self, target: Path, url: str) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._description = target.with_name(f".{target.name}.part.json")
        self.target_name = target.name
        self._url = url
        self.version = ""
        self.is_joined = False  # whether it comes from more than one response
        known = _read_description(self._description) if _is_own_file(self.path) else {}
        if known.get("url") == url:
            self.version = known["version"]
            self.is_joined = True
            return
        self.discard()

    @property
    def size(self) -> int:
        """The number of bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def start(self, version: str) -> None:
        """Begins an empty part for a version of the file."""
        self.discard()
        self.version, self.is_joined = version, False
        write_text(self._description, simplejson.dumps({"url": self._url, "version": version}))

    def open(self) -> IO[bytes]:
        """Opens the part to continue it. It follows no link that somebody may have put there meanwhile."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        return os.fdopen(handle, "ab")

    def discard(self) -> None:
        """Removes the part and its description."""
        self.path.unlink(missing_ok=True)
        self._description.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Gives the whole file the target's name."""
        publish_file(self.path, target)
        self._description.unlink(missing_ok=True)


def _is_own_file(path: Path) -> bool:
    """Returns whether a part may be continued. If others can write there, it may be a link to another file of ours."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and is_ours


def _read_description(path: Path) -> dict[str, str]:
    """Returns the url and version of a part. {} if they cannot be read; the download then starts again."""
    try:
        known = parse_json(read_text(path))
    except ValueError:
        return {}
    is_one = isinstance(known, dict) and all(isinstance(known.get(key), str) for key in ("url", "version"))
    return known if is_one and known["version"].isprintable() else {}
