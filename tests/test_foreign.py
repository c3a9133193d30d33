"""Texts of other people: what ends the stack, the memory or the reader's terminal ends in a ValueError or an escape."""

import logging
import os
from pathlib import Path

import pytest

from kdvideo.foreign import parse_json, parse_yaml, printable, printable_record, read_text

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]" for depth in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": "\\ud800"}', "it has half of a surrogate pair"),
        ("1" * 400, "it has a number of 400 digits"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_cannot_be_used(text: str, message: str):
    """One error for all of them."""
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_json_that_can_be_used():
    """Whole pairs, escaped or not, and numbers as they are."""
    assert parse_json('{"a": ["\\ud83d\\ude00", 12345678901234567890, 1.5, null]}') == {
        "a": ["\U0001f600", 12345678901234567890, 1.5, None]
    }
    assert parse_json('"\\\\ud800"') == "\\ud800"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "its aliases stand for more than 100000 values"),
        ("a: &a [*a]", "an alias stands for a value that it is part of"),
        ("[" * 20_000, "it is nested too deeply"),
        ("a: [", "while parsing a flow node"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_yaml_that_cannot_be_used(text: str, message: str):
    """One line each."""
    with pytest.raises(ValueError, match=message) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)


def test_yaml_with_aliases_that_can_be_used():
    """People write their own configs with them."""
    assert parse_yaml("a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}") == {
        "a": {"x": [1, 2]},
        "b": {"x": [1, 2]},
        "c": {"x": [1, 2], "y": 3},
    }


def test_files_that_are_not_read(tmp_path: Path):
    """A pipe would be waited for, a device has no end."""
    pipe, folder, long, latin = (tmp_path / name for name in ("pipe", "folder", "long", "latin"))
    os.mkfifo(pipe)
    folder.mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    long.write_bytes(b"x" * 101)
    latin.write_bytes(b"\xe9")
    for path in (pipe, folder, tmp_path / "device", tmp_path / "loop", tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=f"{path} is no file"):
            read_text(path)
    with pytest.raises(ValueError, match="long has more than 100 bytes"):
        read_text(long, most_bytes=100)
    assert len(read_text(long, most_bytes=101)) == 101
    with pytest.raises(ValueError, match="latin is no UTF-8 text"):
        read_text(latin)


def test_escape_sequences_are_seen():
    """Also in the log, whose records pass; ordinary text of any script stays."""
    assert printable("\x1b]0;owned\x07 a\u202eb\tc\n") == "\\x1b]0;owned\\x07 a\\u202eb\tc\n"
    assert printable("Grüße, 你好") == "Grüße, 你好"
    record = logging.LogRecord("kdvideo", logging.WARNING, "", 0, "no picture: %s", ("\x1b[2J",), None)
    assert printable_record(record)
    assert record.getMessage() == "no picture: \\x1b[2J"
