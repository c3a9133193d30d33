"""Names of files as text: a name is bytes, and no bytes in it end a command or are lost."""

import codecs
import os
import re

from kdvideo.foreign import printable

__all__ = ["SHOWN", "name_as_text", "name_of_text"]

SHOWN = "kdvideo.shown"  # the `errors` of streams and files that people read
_ESCAPE = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")


def name_as_text(name: str) -> str:
    r"""Returns a file's name or path as text that every format takes; `name_of_text` gives the name back.

    A name is bytes. Those that are no UTF-8, which Python keeps as surrogates, become `\xHH`. In a name that has such
    bytes, or something that looks like them, backslashes are doubled. All other names stay as they are.
    """
    name = os.fsencode(name).decode("utf-8", "surrogateescape")  # the same in every locale
    plain = name.encode("utf-8", SHOWN)
    if plain == name.encode("utf-8", "surrogateescape") and not _ESCAPE.search(plain):
        return name
    return name.replace("\\", r"\\").encode("utf-8", SHOWN).decode("utf-8")


def name_of_text(text: str) -> str:
    """Returns the name that `name_as_text` made this text of, as Python takes it."""
    name = _ESCAPE.sub(_unescape, text.encode("utf-8"))
    return os.fsdecode(name)


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode()) if found[1] else b"\\"


def _show(error: UnicodeError) -> tuple[str, int]:
    """Handles letters that an encoding lacks, as `codecs.register_error` wants it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = printable(error.object[error.start : error.end])
    return letters.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(SHOWN, _show)
