"""The processes of a study: many commands in each, and a new one after a failure or a death."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdvideo.cli import study_workers
from kdvideo.cli.study import _share_of_cores
from kdvideo.cli.study_workers import Workers, default_at_once, visible_gpus
from kdvideo.config import load_config

TELL = "import os; print('new process', os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'], flush=True)"
NEW = "new process 3 7\n"
FAIL = f"{TELL}\nraise ValueError('enough')\n"  # before torch is imported, which takes time


@pytest.fixture
def pool() -> Iterator[Workers]:
    workers = Workers(1, threads=3, gpus=["7", "8"])
    yield workers
    workers.stop()


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    path = tmp_path / "failing.py"
    path.write_text(FAIL)
    return path


def run(pool: Workers, log: Path, *arguments: object) -> int:
    poll = pool.start([str(argument) for argument in arguments], log)
    deadline = time.monotonic() + 300
    while (code := poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


def test_commands_share_a_process_until_one_fails(pool: Workers, failing: Path, tmp_path: Path):
    """The file of --import prints only when a process imports it for the first time."""
    telling = tmp_path / "telling.py"
    telling.write_text(TELL)
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    assert run(pool, logs[0], "zoo", "list", "--import", telling) == 0
    assert run(pool, logs[1], "zoo", "list", "--import", telling) == 0
    assert logs[0].read_text() == NEW + logs[1].read_text()
    assert "r3d_10" in logs[1].read_text()

    assert run(pool, logs[2], "train", "--import", failing) == 2
    assert run(pool, logs[3], "train", "--import", telling, "--import", failing) == 2
    error = f"kdvideo: error: --import {failing}: line 2: ValueError: enough\n"
    assert [log.read_text() for log in logs[2:]] == [NEW + error, NEW + NEW + error]


def test_a_killed_process_loses_its_command_only(pool: Workers, failing: Path, tmp_path: Path):
    killer = tmp_path / "killer.py"
    killer.write_text("import os; os.kill(os.getpid(), 9)")
    assert run(pool, tmp_path / "log", "train", "--import", killer) == -9
    assert run(pool, tmp_path / "log", "train", "--import", failing) == 2
    assert (tmp_path / "log").read_text().startswith(NEW)


def test_gpus_are_taken_in_turn(failing: Path, tmp_path: Path):
    pool = Workers(3, gpus=["a", "b"])
    logs = [tmp_path / f"{number}.log" for number in range(3)]
    polls = [pool.start(["train", "--import", str(failing)], log) for log in logs]
    while None in [poll() for poll in polls]:
        time.sleep(0.02)
    assert [log.read_text().splitlines()[0] for log in logs] == [f"new process 1 {gpu}" for gpu in "aba"]


@pytest.mark.parametrize(
    ("visible", "count", "found"),
    [(None, 0, []), (None, 2, ["0", "1"]), ("3,5", 2, ["3", "5"]), ("MIG-1, G-2", 2, ["MIG-1", "G-2"]), ("", 0, [])],
)
def test_gpus_that_torch_sees(monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int, found: list[str]):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == found


def test_runs_at_a_time(monkeypatch: pytest.MonkeyPatch):
    cores = len(os.sched_getaffinity(0))
    for gpus, at_once in ((0, cores), (1, min(cores, 5)), (99, cores)):
        monkeypatch.setattr(study_workers, "visible_gpus", lambda gpus=gpus: ["0"] * gpus)
        assert default_at_once() == at_once
    assert default_at_once(submitted=True) == cores


@pytest.mark.parametrize(
    ("asked", "at_once", "override"),
    [(-1, 5, ["DATA.NUM_WORKERS", "2"]), (-1, 16, ["DATA.NUM_WORKERS", "1"]), (0, 5, []), (7, 5, [])],
)
def test_runs_share_the_cores(monkeypatch: pytest.MonkeyPatch, asked: int, at_once: int, override: list[str]):
    monkeypatch.setattr("kdvideo.data.checking.isolation.available_cores", lambda: 16)
    cfg = load_config(None, ["DATA.NUM_WORKERS", str(asked)])
    assert _share_of_cores(cfg, at_once) == override
