"""Names of files that are no UTF-8: every command shows them, and what a table says can be mapped back."""

import io
import logging
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import simplejson
from pyarrow import parquet

from kdvideo.cli import main
from kdvideo.engine.log import log_to
from kdvideo.foreign import printable
from kdvideo.names import name_as_text, name_of_text

LATIN = os.fsdecode(b"caf\xe9.avi")  # as an old Windows or a zip file of one writes it


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    """Two videos in a class folder, whose names are no UTF-8, and a file that is no video."""
    folder = tmp_path / "dataset" / os.fsdecode(b"for\xeat")
    folder.mkdir(parents=True)
    try:
        shutil.copyfile(tiny_dataset / "BallRoll/v_BallRoll_g01_c01.avi", folder / LATIN)
    except OSError as error:
        pytest.skip(f"this file system takes only names in UTF-8: {error.strerror}")
    shutil.copyfile(tiny_dataset / "BallRoll/v_BallRoll_g01_c01.avi", folder / "ça va.avi")
    (folder / os.fsdecode(b"t\xf4rn.avi")).write_bytes(b"no video")
    return folder.parent


def test_text_that_can_be_mapped_back():
    """Every name has a text of its own; names without such bytes are their own text."""
    assert name_as_text(LATIN) == r"caf\xe9.avi"
    for name in ("café.avi", "日本/a b.avi", r"a\b.avi", "a'\"\n.avi"):
        assert name_as_text(name) == name
    assert name_as_text(r"caf\xe9.avi") == r"caf\\xe9.avi"  # a backslash in the name itself
    chooses, texts = random.Random(0), {}
    for _ in range(20_000):
        letters = bytes(chooses.choice(b"\\x e9a\xe9\xc3\xa9\xff") for _ in range(chooses.randint(1, 8)))
        text = name_as_text(os.fsdecode(letters))
        text.encode("utf-8")
        assert os.fsencode(name_of_text(text)) == letters
        assert texts.setdefault(text, letters) == letters


def test_embed_keeps_its_table(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog):
    """With a feature for each, as a gallery that finds the files again; predict answers in text and JSON."""
    table, picture = tmp_path / "t.parquet", tmp_path / "p.png"
    assert main(["embed", str(root), "--out", str(table), "--clips", "1"]) == 0
    assert capsys.readouterr().out == f"{table}: 3 videos, 1 without a feature (column problem says why)\n"
    assert r"no feature of for\xeat/t\xf4rn.avi: cannot be opened" in caplog.text
    rows = {row["video"]: row for row in parquet.read_table(table).to_pylist()}
    assert sorted(rows) == [r"for\xeat/caf\xe9.avi", r"for\xeat/t\xf4rn.avi", r"for\xeat/ça va.avi"]
    assert {row["class"] for row in rows.values()} == {r"for\xeat"}
    assert all((row["feature"] is None) == (name == r"for\xeat/t\xf4rn.avi") for name, row in rows.items())
    assert all((root / name_of_text(name)).is_file() for name in rows)
    for arguments in (["--json"], []):
        assert main(["predict", str(root), "--gallery", str(table), "--top", "2", *arguments]) == 1
        out = capsys.readouterr().out
        out.encode("ascii" if arguments else "utf-8")
        names = [simplejson.loads(line)["video"] if arguments else line.split(": ")[0] for line in out.splitlines()]
        assert sorted(names) == sorted(f"{root}/{name}" for name in rows)
    assert main(["picture", "retrieval", str(table), str(root), "--out", str(picture)]) == 0
    assert caplog.text.count("no picture") == 0


def test_check_prepare_and_log(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Their lines, the manifest's names, and the run's log."""
    assert main(["data", "check", str(root)]) == 0
    assert r"  for\xeat/t\xf4rn.avi: cannot be opened" in capsys.readouterr().out
    lines = [simplejson.loads(line) for line in (root / "kdvideo-manifest.jsonl").read_text().splitlines()]
    assert all((root / line["path"]).is_file() for line in lines)
    assert main(["data", "prepare", str(root), str(tmp_path / "proxies"), "--short-side", "32"]) == 0
    assert r"  for\xeat/t\xf4rn.avi.mp4: no proxy, since for\xeat/t\xf4rn.avi cannot" in capsys.readouterr().out
    assert (tmp_path / "proxies" / os.fsdecode(b"for\xeat/caf\xe9.avi.mp4")).is_file()
    with log_to(tmp_path / "log.txt"):
        logging.getLogger("kdvideo").warning("left out: %s", LATIN)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("left out: caf\\xe9.avi\n")


def test_a_terminal_of_few_letters(root: Path, monkeypatch: pytest.MonkeyPatch):
    """What it cannot show is shown as an escape."""
    (root / "日本.avi").write_bytes(b"no video")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["data", "check", str(root), "--workers", "1"]) == 0
    stream.flush()
    *_, torn, last = stream.buffer.getvalue().splitlines()
    assert torn.startswith(rb"  for\xeat/t\xf4rn.avi: cannot be opened")
    assert last.startswith(rb"  \u65e5\u672c.avi: cannot be opened")


def test_the_c_locale(root: Path, tmp_path: Path):
    """Where Python takes names for ASCII, a table has them as in any other locale."""
    (root / "日本.avi").write_bytes(b"no video")
    script = (
        "import sys; from kdvideo.cli import main; main(['data', 'check', sys.argv[2]]); sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "embed", str(root), "--out", str(tmp_path / "t.parquet")],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    names = [row["video"] for row in parquet.read_table(tmp_path / "t.parquet").to_pylist()]
    assert sorted(names) == [r"for\xeat/caf\xe9.avi", r"for\xeat/t\xf4rn.avi", r"for\xeat/ça va.avi", "日本.avi"]
    assert rb"  for\xeat/t\xf4rn.avi: cannot be opened" in done.stdout


def test_what_is_printed():
    """For people alone: short, and not to be mapped back."""
    assert printable(LATIN) == r"caf\xe9.avi"
    assert printable("\ud800") == r"\ud800"  # a JSON list may hold half a letter
