"""Runs whose disk fills up or becomes read-only in mid-work: real disks, mounted where nobody else sees them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import simplejson

from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.run_folder import CHECKPOINT_NAME, METRICS_NAME

pytestmark = pytest.mark.slow


class PrivateDisk:
    """A small disk in a mount namespace of its own, kept by a sleeping process."""

    def __init__(self, folder: Path, size: str) -> None:
        command = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && echo ready && exec sleep 600'
        self.keeper = subprocess.Popen(["unshare", "--mount", "sh", "-c", command], stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout is not None
        if self.keeper.stdout.readline() != "ready\n":
            pytest.skip("needs the right to mount a disk")
        self.seen = Path(f"/proc/{self.keeper.pid}/root{folder}")

    def start(self, *command: str) -> subprocess.Popen:
        inside = ["nsenter", "--target", str(self.keeper.pid), "--mount", *command]
        return subprocess.Popen(inside, stderr=subprocess.PIPE, text=True)

    def run(self, *command: str) -> None:
        assert self.start(*command).wait() == 0

    def close(self) -> None:
        self.keeper.kill()
        self.keeper.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PrivateDisk]:
    (tmp_path / "disk").mkdir()
    disk = PrivateDisk(tmp_path / "disk", "12m")
    yield disk
    disk.close()


def fill(disk: PrivateDisk, folder: Path) -> None:
    with suppress(OSError), (disk.seen / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    assert os.statvfs(disk.seen).f_bavail == 0


def make_room(disk: PrivateDisk, folder: Path) -> None:
    (disk.seen / "filler").unlink()


def make_read_only(disk: PrivateDisk, folder: Path) -> None:
    disk.run("mount", "--bind", str(folder), str(folder))
    disk.run("mount", "-o", "remount,ro,bind", str(folder))


def make_writable(disk: PrivateDisk, folder: Path) -> None:
    disk.run("umount", "--lazy", str(folder))


@pytest.mark.parametrize(
    ("harm", "repair", "reason"),
    [(fill, make_room, "No space left on device"), (make_read_only, make_writable, "Read-only file system")],
)
def test_a_disk_that_takes_no_more(disk: PrivateDisk, tiny_overrides: list[str], tmp_path: Path, harm, repair, reason):
    """One line, exit code 1, the last checkpoint whole; when it can be written again, the run goes on."""
    folder = tmp_path / "disk" / "run"
    seen = disk.seen / "run"
    command = [sys.executable, "-m", "kdvideo.cli", "train", *tiny_overrides, "OUTPUT_DIR", str(folder)]
    process = disk.start(*command, "SOLVER.EPOCHS", "1000")
    while not (seen / CHECKPOINT_NAME).exists():
        assert process.poll() is None
        time.sleep(0.01)
    harm(disk, folder)
    _, shown = process.communicate(timeout=120)
    errors = [line for line in shown.splitlines() if line.startswith("kdvideo: error: ")]
    assert process.returncode == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"kdvideo: error: {folder}/")
    assert f"cannot be written: {reason}; checkpoints that are there stay as they are" in errors[0]
    assert "Traceback" not in shown
    epoch = read_state(seen / CHECKPOINT_NAME)["epoch"]
    assert epoch >= 1
    repair(disk, folder)
    disk.run(*command, "SOLVER.EPOCHS", str(epoch + 1), "--resume")
    lines = [simplejson.loads(line) for line in (seen / METRICS_NAME).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [*range(1, epoch + 2), epoch + 1]
