"""Reads texts of other people within limits. The result is always a value or a ValueError.

People exchange entries, configs, galleries and lines of runs. Without limits, a named pipe would block the reader, a
list of lists of lists would exceed Python's stack, ten lines of yaml aliases would fill the memory, and a name with an
escape sequence would write to the reader's terminal.
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
_MOST_NODES = 100_000  # largest number of nodes of a yaml text with expanded aliases; a resolved config has about 100
_MOST_DIGITS = 300  # most digits of a whole number; a longer one does not fit into a float
_KINDS = {  # JSON types
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
        ValueError: it is not a file (a folder, a pipe, a broken link), is too long, is not UTF-8, or cannot be read.
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
    """Returns the value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a number that fits no float or half a character.
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
    """Returns the value of a yaml text, with plain types only.

    Raises:
        ValueError: it is not yaml, is nested too deeply, or becomes too large when its aliases are expanded.
    """
    try:
        return yaml.load(text, Loader=_BoundedLoader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def check_fields(values: Any, kind: type, *, what: str) -> None:
    """Refuses JSON values that do not match a dataclass's annotations.

    Args:
        values: the result of `parse_json`. A key may be missing if its field has a default.
        kind: the dataclass. Its fields are texts, whole numbers from 0, finite numbers, None, lists and mappings of
            these, or dataclasses. The values of a nested dataclass are not checked here.
        what: the beginning of the message, e.g. "FILE is no zoo entry".

    Raises:
        ValueError: it is no mapping, a key is missing or unknown, or a value has another type.
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
    """Yields one line for each part of a value that does not have its annotated type."""
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
    """Yields each key of a mapping with its value and the value's required type."""
    if is_typeddict(kind):
        present = kind.__required_keys__ | values.keys()
        yield from ((key, values.get(key), inner) for key, inner in get_type_hints(kind).items() if key in present)
    elif not is_dataclass(kind):
        _, inner = get_args(kind)
        yield from ((key, item, inner) for key, item in values.items())


def _fits(value: Any, kind: type) -> bool:
    if kind is float or kind is int:
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and (math.isfinite(value) if kind is float else value >= 0)
    return isinstance(value, kind)


def printable(text: str) -> str:
    r"""Returns a text with control characters, and marks that change the writing direction, as visible escapes.

    Bytes of a file's name that are not UTF-8 become `\xHH`. Line ends and tabs stay.
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
    """Counts a document's nodes before anything is built. An alias counts as everything that it stands for."""

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
