"""Checkpoints on disk: rotated, verified, whole after a kill at any moment."""

import errno
import logging
import os
import random
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

from kdvideo.engine.checkpoint import load_checkpoint, read_state, save_checkpoint
from kdvideo.engine.run_folder import RunFolder


def state_of(number: int) -> dict:
    return {"step": number, "student": {"weight": torch.full((50,), float(number))}, "config": "SEED: 0"}


def save(folder: Path, *numbers: int, max_to_keep: int = 2) -> None:
    for number in numbers:
        save_checkpoint(RunFolder(folder), state_of(number), max_to_keep=max_to_keep)


def numbers_in(folder: Path) -> dict[str, int]:
    return {path.name: read_state(path)["step"] for path in RunFolder(folder).checkpoints()}


def equals(state: dict, number: int) -> bool:
    return state["step"] == number and torch.equal(state["student"]["weight"], state_of(number)["student"]["weight"])


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("kdvideo"), "propagate", True)
    return caplog


def test_rotation(tmp_path: Path):
    """As many as asked for; the newest is always checkpoint.pt."""
    save(tmp_path, 1, 2, 3, 4, max_to_keep=3)
    assert numbers_in(tmp_path) == {"checkpoint.pt": 4, "checkpoint.1.pt": 3, "checkpoint.2.pt": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(numbers_in(tmp_path))
    save(tmp_path / "single", 1, 2, max_to_keep=1)
    assert numbers_in(tmp_path / "single") == {"checkpoint.pt": 2}


def test_rotation_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As on exFAT or some network file systems, none of which is here."""

    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save(tmp_path, 1, 2, 3)
    assert numbers_in(tmp_path) == {"checkpoint.pt": 3, "checkpoint.1.pt": 2}


def test_missing_checkpoint(tmp_path: Path):
    """One line that says what to do."""
    with pytest.raises(ValueError, match=r"checkpoint\.pt does not exist; start the run without --resume"):
        load_checkpoint(RunFolder(tmp_path))


def test_a_damaged_newest_one_falls_back(tmp_path: Path, warnings: pytest.LogCaptureFixture):
    """The log names file and reason; the good one is never written over by the damaged one."""
    save(tmp_path, 1, 2)
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    place = content.index(state_of(2)["student"]["weight"].numpy().tobytes())
    content[place + 100] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["step"] == 2  # PyTorch does not notice
    assert equals(load_checkpoint(RunFolder(tmp_path)), 1)
    assert re.search(
        rf"{path} is damaged: its part .*/data/0 has another checksum than when it was written; "
        "going on from the checkpoint before it",
        warnings.text,
    )
    save(tmp_path, 3)
    assert numbers_in(tmp_path) == {"checkpoint.pt": 3, "checkpoint.1.pt": 1}
    assert (tmp_path / "checkpoint.pt.damaged").read_bytes() == bytes(content)


def test_all_damaged(tmp_path: Path):
    """Nothing to go on from: said, and nothing removed."""
    save(tmp_path, 1, 2)
    for path in RunFolder(tmp_path).checkpoints():
        path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=r"--resume: .*checkpoint\.1\.pt cannot be read as a checkpoint \(BadZipFile"):
        load_checkpoint(RunFolder(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2


def test_no_damage_goes_unnoticed(tmp_path: Path):
    """A flipped bit, a lost end or a zeroed block anywhere: the state as written, or the one before, nothing else."""
    save(tmp_path, 1, 2)
    newest, whole = tmp_path / "checkpoint.pt", (tmp_path / "checkpoint.pt").read_bytes()
    draw = random.Random(0)
    fell_back = 0
    for trial in range(600):
        content, place = bytearray(whole), draw.randrange(len(whole))
        if trial % 3 == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif trial % 3 == 1:
            del content[place:]
        else:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        newest.write_bytes(content)
        state = load_checkpoint(RunFolder(tmp_path))
        assert equals(state, 2) or equals(state, 1), (trial, place)
        fell_back += equals(state, 1)
    assert fell_back > 300


def die_at(folder: Path, access: int) -> int:
    """Saves number 3 in a process that kills itself before its `access`-th access to the file system."""
    pid = os.fork()
    if pid == 0:
        left = access

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event.startswith(("open", "os.", "tempfile.")):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        save(folder, 3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_kill_at_every_access_to_the_file_system(tmp_path: Path):
    """There is a checkpoint.pt at any moment, old or new and whole, and one before it or the old one itself."""
    for access in range(1, 100):
        folder = tmp_path / str(access)
        save(folder, 1, 2)
        died = die_at(folder, access) == -signal.SIGKILL
        numbers = numbers_in(folder)
        assert numbers["checkpoint.pt"] in ((2, 3) if died else (3,))
        assert numbers.get("checkpoint.1.pt", 2) in (1, 2)
        save(folder, 4)
        assert numbers_in(folder)["checkpoint.pt"] == 4
        if not died:
            break
    assert 8 < access < 99
