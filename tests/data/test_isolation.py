"""Workers that crash, hang, raise or lose their parent."""

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdvideo.data.checking.isolation import Failure, available_cores, run_isolated


def misbehave(how: str) -> str:
    if how == "crash":
        faulthandler.disable()  # of pytest, which would print where
        ctypes.string_at(0)
    if how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    if how == "leave":
        os._exit(3)
    if how == "be warned":
        os.kill(os.getpid(), signal.SIGUSR2)
    if how == "raise":
        raise KeyError("as it is")
    return how.upper()


@pytest.mark.slow
def test_one_bad_item_harms_no_other():
    """A segmentation fault, a worker that hangs and one that leaves are named; the others have their results."""
    items = ["a", "crash", "b", "hang", "c", "leave", "d", "be warned"]
    results = dict(run_isolated(misbehave, items, num_workers=2, time_limit=5.0))
    assert [results[item] for item in (*"abcd", "be warned")] == [*"ABCD", "BE WARNED"]
    assert results["crash"] == Failure("makes its reader crash (SIGSEGV)")
    assert results["hang"] == Failure("takes longer than 5 s", timed_out=True)
    assert results["leave"] == Failure("makes its reader crash (exit code 3)")


@pytest.mark.timeout(120)
def test_an_exception_comes_through():
    """A mistake in the program is not taken for a bad file, and does not wait for the other items."""
    with pytest.raises(KeyError, match="as it is"):
        list(run_isolated(misbehave, ["raise", "hang"], num_workers=1, time_limit=3600.0))


def test_nothing_to_do():
    """No item, no worker, no wait."""
    assert list(run_isolated(misbehave, [], num_workers=2, time_limit=1.0)) == []


def test_workers_end_with_a_killed_parent(tmp_path: Path):
    """Otherwise they would go on writing beside the next run."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from kdvideo.data.checking.isolation import run_isolated\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "def work(item):\n"
        "    (folder / str(os.getpid())).touch()\n"
        "    time.sleep(60)\n"
        "list(run_isolated(work, [1, 2, 3], num_workers=2, time_limit=60.0))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    wait_until(lambda: not any(is_running(worker) for worker in workers))


def wait_until(holds) -> None:
    """For as long as pytest lets a test run."""
    while not holds():
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"  # a container may have nobody to reap it
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"cpu.max": "max 100000"}, 16),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, 16),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ],
)
def test_cores_are_those_of_this_process(files: dict[str, str], cores: int, tmp_path: Path, monkeypatch):
    """A job bound to 16 cores of a big machine has 16, and a container whose time is limited has fewer."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert available_cores(tmp_path) == cores
