"""Texts that other people wrote, read within limits: whatever they hold, reading them ends in a value or a ValueError.

Entries, configs, galleries and lines of runs travel between people. A named pipe under such a name would be waited
for, a list of lists of lists would end Python's stack, ten lines of yaml aliases would fill the memory, and a name with
an escape sequence would write to the reader's terminal.
"""

import logging
from pathlib import Path
from typing import Any

import simplejson
import yaml

__all__ = ["MOST_BYTES", "parse_json", "parse_yaml", "printable", "printable_record", "read_text"]

MOST_BYTES = 4 << 20  # the largest entry that ships has 8 KB
_MOST_NODES = 100_000  # of a yaml text with its aliases written out; a resolved config has about 100
_MOST_DIGITS = 300  # of a whole number: with more it is no float


def read_text(path: Path, *, most_bytes: int = MOST_BYTES) -> str:
    """Returns the text of a regular file.

    Raises:
        ValueError: it is no file (a folder, a pipe, a link to nowhere), too long, not UTF-8, or cannot be read.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{path} is no file")
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise ValueError(f"{path} has more than {most_bytes} bytes: it is another file")
        return content.decode("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error}") from None


def parse_json(text: str | bytes) -> Any:
    """Returns what a JSON text says.

    Raises:
        ValueError: it is none, is nested too deeply, or has a number that no float holds or half a character.
    """
    try:
        values = simplejson.loads(text, parse_int=_parse_int)
        if b"\\ud" in (text if isinstance(text, bytes) else text.encode()).lower():
            simplejson.dumps(values, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError:
        raise ValueError("it has half of a surrogate pair, which is no character") from None
    return values


def parse_yaml(text: str) -> Any:
    """Returns what a yaml text says, of plain types only.

    Raises:
        ValueError: it is none, is nested too deeply, or grows beyond measure when its aliases are written out.
    """
    try:
        return yaml.load(text, Loader=_BoundedLoader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def printable(text: str) -> str:
    r"""Returns a text in which control characters and marks that turn the writing direction are seen as escapes.

    So are bytes of a file's name that are no UTF-8, as `\xHH`. Line ends and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def _escape(letter: str) -> str:
    is_byte = "\udc80" <= letter <= "\udcff"
    return f"\\x{ord(letter) - 0xDC00:02x}" if is_byte else letter.encode("unicode_escape").decode()


def printable_record(record: logging.LogRecord) -> bool:
    """Is a filter for loggers: makes the message `printable`, and lets every record pass."""
    message = record.getMessage()
    if not message.isprintable():
        record.msg, record.args = printable(message), ()
    return True


def _parse_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


class _BoundedLoader(yaml.SafeLoader):
    """Counts a document's nodes, an alias as all that it stands for, before anything is built of them."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _expanded(node, {}) > _MOST_NODES:
            raise yaml.YAMLError(f"its aliases stand for more than {_MOST_NODES} values")
        return node


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Counts a tree's nodes. `known` has the counts of finished nodes, and 0 for a node that is being counted."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    count = known.get(id(node))
    if count == 0:
        raise yaml.YAMLError("an alias stands for a value that it is part of")
    if count is None:
        known[id(node)] = 0
        pairs = isinstance(node, yaml.MappingNode)
        children = [child for pair in node.value for child in pair] if pairs else node.value
        count = known[id(node)] = 1 + sum(_expanded(child, known) for child in children)
    return count
