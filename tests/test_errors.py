"""Errors name a parameter as the caller knows it: as itself, as a config key, or as a flag."""

import re
from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.config.keys import KEYS
from kdvideo.config.naming import PARAMETERS, naming_keys
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.errors import first_line, naming

GROUND_FLOOR = ("data", "models", "losses", "tasks", "evaluation", "zoo", "inference")
PACKAGE = Path(__file__).parent.parent / "kdvideo"


def test_a_caller_from_python_reads_its_own_parameter():
    """`VCP.check(clip_len=6)` knows no CLIP.LENGTH."""
    with pytest.raises(ValueError, match=r"^`clip_len` is 6; the pretext vcp swaps quarters of it: use a"):
        VCP.check(clip_len=6, size=112, tuple_len=3)


def test_whoever_read_a_config_reads_its_keys():
    """The same error, with the name that the user has set it by."""
    with pytest.raises(ValueError, match=r"^CLIP\.LENGTH is 6; "), naming_keys():
        VCP.check(clip_len=6, size=112, tuple_len=3)


def test_the_innermost_caller_names_a_parameter():
    """A command that reads a config inside has flags of its own around it; other words in backquotes stay."""
    message = r"^DATA\.ROOT and --url, `kdvideo zoo`, `other`$"
    with pytest.raises(ValueError, match=message), naming(root="-", url="--url"), naming_keys():
        raise ValueError("`root` and `url`, `kdvideo zoo`, `other`")


def test_a_command_reads_its_flag(capsys: pytest.CaptureFixture[str]):
    """The same check names `path` from Python."""
    assert main(["embed", "videos", "--out", "f.csv"]) == 2
    assert capsys.readouterr().err.startswith("kdvideo: error: --out is f.csv; its name must end in .parquet")


def test_an_error_keeps_its_type_and_what_it_carries():
    """Only texts are rewritten."""

    class _OwnError(ValueError):
        pass

    with pytest.raises(_OwnError) as error, naming(size="CLIP.SIZE"):
        raise _OwnError("`size` is odd", 7)
    assert error.value.args == ("CLIP.SIZE is odd", 7)


def test_every_named_parameter_is_in_an_error():
    """A name that no message has any more would be a leftover; each stands for a config key."""
    texts = "".join(path.read_text("utf-8") for name in GROUND_FLOOR for path in (PACKAGE / name).rglob("*.py"))
    assert set(PARAMETERS) - set(re.findall(r"`(\w+)`", texts)) == set()
    assert set(PARAMETERS.values()) <= set(KEYS)


def test_the_first_line_of_another_librarys_error():
    """Where there is no message, the type says what it was."""
    assert first_line(RuntimeError("\n one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
