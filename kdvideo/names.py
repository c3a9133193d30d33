"""File names as text: no byte of a name is lost, and none makes a command fail."""

import codecs
import os
import re

from kdvideo.foreign import printable

__all__ = ["SHOWN", "name_as_text", "name_of_text"]

SHOWN = "kdvideo.shown"  # the `errors` setting of streams and files that people read
_ESCAPE = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")


def name_as_text(name: str) -> str:
    r"""Returns a file's name or path as text that every format accepts. `name_of_text` is the inverse.

    A name consists of bytes. Bytes that are not UTF-8, which Python keeps as surrogates, become `\xHH`. In a name that
    has such bytes, or text that looks like them, backslashes are doubled. All other names stay as they are.
    """
    name = os.fsencode(name).decode("utf-8", "surrogateescape")  # independent of the locale
    plain = name.encode("utf-8", SHOWN)
    if plain == name.encode("utf-8", "surrogateescape") and not _ESCAPE.search(plain):
        return name
    return name.replace("\\", r"\\").encode("utf-8", SHOWN).decode("utf-8")


def name_of_text(text: str) -> str:
    """Returns the original name, as Python uses it, from the text of `name_as_text`."""
    name = _ESCAPE.sub(_unescape, text.encode("utf-8"))
    return os.fsdecode(name)


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else b"\\"


def _show(error: UnicodeError) -> tuple[str, int]:
    """Handles letters that an encoding lacks, as a function for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = printable(error.object[error.start : error.end])
    return letters.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(SHOWN, _show)
