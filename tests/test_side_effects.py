"""The library leaves its host alone: what a program has set up is as before after importing and training."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import ctypes, logging, os, signal, sys
libc = ctypes.CDLL(None)
class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
def maps_big_blocks():
    "malloc maps a block of 64 MB, unless it was told to keep freed memory"
    libc.malloc.restype, libc.mallinfo2.restype = ctypes.c_void_p, Mallinfo
    libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
    before = libc.mallinfo2().hblks
    block = libc.malloc(64 << 20)
    mapped = libc.mallinfo2().hblks - before
    libc.free(block)
    return mapped
def umask():
    mask = os.umask(0o022); os.umask(mask); return mask
def state():
    loggers = [logging.getLogger(), logging.getLogger("kdvideo"), logging.getLogger("other")]
    return {
        "umask": umask(),
        "malloc": maps_big_blocks(),
        "loggers": [(l.level, l.propagate, l.disabled, list(l.handlers), list(l.filters)) for l in loggers],
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)],
        "excepthook": sys.excepthook,
    }
os.umask(0o027)
signal.signal(signal.SIGTERM, mine := lambda *_: None)
first = state()
assert first["malloc"] == 1, first
"""
TRAIN = """
import kdvideo, kdvideo.files
assert umask() == 0o027
root, out = sys.argv[1:3]
small = {"CLIP": {"LENGTH": 8, "SIZE": 32}, "PRETEXT": {"INTERVAL": 2}}
small["DATA"] = {"NAME": "ucf101", "SHORT_SIDE": 36, "NUM_WORKERS": 0}
small["EVAL"] = {"TUPLES_PER_VIDEO": 5, "FINAL_CLIPS_PER_VIDEO": 1}
small["SOLVER"] = {"EPOCHS": 1, "BATCH_SIZE": 6}
small["ZOO"] = {"DIR": out + "/zoo", "PUBLISH_AS": "own.teacher"}
MODEL = {"WIDTH": 4}
"""


def run(script: str, *arguments: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + TRAIN + script, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc what malloc does")
def test_training_leaves_the_process_as_it_was(tiny_dataset: Path, tmp_path: Path):
    """Umask, malloc, loggers and signals, after importing and after a teacher and its student; files follow the umask.

    While a run is going on, SIGTERM is the program's own and no logger has another handler.
    """
    done = run(
        """
from kdvideo.engine.hooks import Progress
during = []
after_step = Progress.after_step
Progress.after_step = lambda self, *arguments: (during.append(state()), after_step(self, *arguments))
assert state() == first
kdvideo.pretrain(model="r3d_10", data=root, out=out + "/a", **small, MODEL={"WIDTH": 4})
small["ZOO"]["PUBLISH_AS"] = ""
kdvideo.distill(teacher=out + "/a/checkpoint.pt", student="c3d", data=root, out=out + "/b", **small, MODEL={"WIDTH": 4})
assert state() == first
assert len(during) == 4, len(during)
for now in during:
    assert (now["umask"], now["malloc"], now["signals"]) == (first["umask"], first["malloc"], first["signals"])
    for before, here in zip(first["loggers"], now["loggers"]):
        assert before[1:4] == here[1:4]
for name in ("a/checkpoint.pt", "a/config.yaml", "a/metrics.jsonl", "zoo/entries/own.teacher.json"):
    assert os.stat(f"{out}/{name}").st_mode & 0o777 == 0o640, name
""",
        tiny_dataset,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_messages_go_where_the_program_sends_them(tiny_dataset: Path, tmp_path: Path):
    """The run's log has every line; a program without a log sees warnings alone, as Python prints them."""
    done = run(
        """
logging.getLogger("kdvideo").warning("before")
result = kdvideo.pretrain(model="r3d_10", data=root, out=out + "/a", **small, MODEL=MODEL)
logging.getLogger("kdvideo").warning("after")
""",
        tiny_dataset,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    log = (tmp_path / "a" / "log.txt").read_text()
    assert "training videos" in log
    assert "published own.teacher" in log
    assert "after" not in log
    assert done.stderr.splitlines()[0] == "before"
    assert done.stderr.splitlines()[-1] == "after"
    assert "training videos" not in done.stderr


def test_a_program_that_asks_for_the_log_gets_all_of_it(tiny_dataset: Path, tmp_path: Path):
    """With `logging.basicConfig` at INFO, each line of the run's log goes to the program's handler as well."""
    done = run(
        """
logging.basicConfig(level="INFO", format="mine %(message)s")
kdvideo.pretrain(model="r3d_10", data=root, out=out + "/a", **small, MODEL=MODEL)
""",
        tiny_dataset,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.partition("] ")[2] for line in (tmp_path / "a" / "log.txt").read_text().splitlines()]
    assert len(lines) > 5
    assert [line for line in done.stderr.splitlines() if line.startswith("mine ")] == [f"mine {line}" for line in lines]
