"""Texts that other people wrote, read within limits: whatever they hold, reading them ends in a value or a ValueError.

Entries, configs, galleries and lines of runs travel between people. A named pipe under such a name would be waited
for, a list of lists of lists would end Python's stack, ten lines of yaml aliases would fill the memory, and a name with
an escape sequence would write to the reader's terminal.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import simplejson
import yaml

__all__ = ["MOST_BYTES", "check_fields", "parse_json", "parse_yaml", "printable", "printable_record", "read_text"]

MOST_BYTES = 4 << 20  # the largest entry that ships has 8 KB
_MOST_NODES = 100_000  # of a yaml text with its aliases written out; a resolved config has about 100
_MOST_DIGITS = 300  # of a whole number: with more it is no float
_KINDS = {  # of JSON values
    str: "a text",
    int: "a whole number from 0",
    float: "a finite number",
    list: "a list",
    dict: "a mapping",
    NoneType: "null",
}


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


def check_fields(values: Any, kind: type, *, what: str) -> None:
    """Refuses JSON values that are not what a dataclass's annotations say.

    Args:
        values: what `parse_json` gave; a key whose field has a default may be missing.
        kind: the dataclass. Its fields are texts, whole numbers from 0, finite numbers, None, lists and mappings of
            these, or dataclasses, whose own values are left to them.
        what: the beginning of the message, e.g. "FILE is no zoo entry".

    Raises:
        ValueError: no mapping, a key that is missing or unknown, or a value of another type.
    """
    known = {item.name: item.default is MISSING and item.default_factory is MISSING for item in fields(kind)}
    if not isinstance(values, dict):
        raise ValueError(f"{what}, but a {type(values).__name__}")
    wrong = {name for name, is_needed in known.items() if is_needed} - values.keys() | values.keys() - known.keys()
    if wrong:
        raise ValueError(f"{what} of this version: missing or unknown {sorted(wrong)}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        for problem in _misfits(name, value, hints[name]):
            raise ValueError(f"{what}: {problem}")


def _misfits(name: str, value: Any, kind: Any) -> Iterator[str]:
    """Yields what in a value is not of an annotated type, one line each."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    plain = {_plain(each): each for each in kinds}
    if isinstance(value, list) and list in plain:
        (inner,) = get_args(plain[list])
        for place, item in enumerate(value):
            yield from _misfits(f"{name}[{place}]", item, inner)
    elif isinstance(value, dict) and dict in plain:
        for key, item, inner in _items(value, plain[dict]):
            yield from _misfits(f"{name}.{key}", item, inner)
    elif not any(_fits(value, each) for each in plain):
        yield f"{name} is {value!r}, it must be {' or '.join(_KINDS[each] for each in plain)}"


def _plain(kind: Any) -> type:
    """Returns the JSON type of an annotation."""
    return dict if is_typeddict(kind) or is_dataclass(kind) else get_origin(kind) or kind


def _items(values: dict[str, Any], kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields each key of a mapping with its value and what that must be."""
    if is_typeddict(kind):
        yield from ((key, values.get(key), inner) for key, inner in get_type_hints(kind).items())
    elif not is_dataclass(kind):
        _, inner = get_args(kind)
        yield from ((key, item, inner) for key, item in values.items())


def _fits(value: Any, kind: type) -> bool:
    if kind is float or kind is int:
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and (math.isfinite(value) if kind is float else value >= 0)
    return isinstance(value, kind)


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
    """Makes a log message `printable`. As a filter for loggers, it lets every record pass."""
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
