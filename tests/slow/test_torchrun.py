"""Runs of two processes under torchrun: evaluated alike by one, killed and restarted, and ended by one's exception."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejson
import torch

from kdvideo.cli import main
from kdvideo.engine.run_folder import METRICS_NAME

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = str(REPOSITORY / "tools" / "train_net.py")

BREAKING_TASK = """
import sys
from kdvideo.cli import main
from kdvideo.distributed import rank
from kdvideo.registry import TASKS
from kdvideo.tasks import PCLTask

@TASKS.register_as("breaking")
class Breaking(PCLTask):
    steps = 0

    def forward(self, batch):
        self.steps += 1
        if self.steps == 3 and rank() == 1:
            raise ValueError("the third batch of rank 1 is odd")
        return super().forward(batch)

sys.exit(main(["train", *sys.argv[1:]]))
"""


def start(script: str, overrides: list[str], *options: str, **kwargs) -> subprocess.Popen:
    """torchrun of two processes on one thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    return subprocess.Popen([*launcher, script, *overrides], env={**os.environ, "OMP_NUM_THREADS": "1"}, **kwargs)


def metrics_lines(folder: Path) -> list[dict]:
    lines = [simplejson.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def count_lines(folder: Path) -> int:
    path = folder / METRICS_NAME
    return path.read_text().count("\n") if path.exists() else 0


def workers_of(launcher: subprocess.Popen) -> list[int]:
    """The processes that torchrun has started."""
    return [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]


def test_one_process_measures_what_two_have_measured(tiny_overrides: list[str], tmp_path: Path):
    """The final line of a run of two processes, and `--eval-only` by one and by two on its checkpoint."""
    assert start(TRAIN, [*tiny_overrides, "ZOO.PUBLISH_AS", "two.x"]).wait() == 0
    final = metrics_lines(tmp_path / "run")[-1]
    assert main(["train", "--eval-only", *tiny_overrides]) == 0
    alone = simplejson.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert {**alone["metrics"], "epoch": 2, "final": True}.items() >= final.items()
    assert start(TRAIN, ["--eval-only", *tiny_overrides]).wait() == 0
    assert simplejson.loads((tmp_path / "run" / "evaluation.json").read_text()) == alone
    assert (tmp_path / "run" / "log.txt").read_text().count("epoch 2/2") == 1
    entry = simplejson.loads((tmp_path / "zoo" / "entries" / "two.x.json").read_text())
    assert entry["metrics"]["pretext_accuracy"] == final["pretext_accuracy"]


def test_a_killed_worker_is_restarted(tiny_overrides: list[str], tmp_path: Path):
    """SIGKILL of either worker: torchrun restarts both, they continue by themselves, and end with the same weights."""
    common = [*tiny_overrides, "SOLVER.EPOCHS", "16"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start(TRAIN, [*common, "OUTPUT_DIR", str(whole)]).wait() == 0
    launcher = start(TRAIN, [*common, "OUTPUT_DIR", str(parts)], "--max-restarts", "2")
    for victim, lines in ((1, 3), (0, 9)):
        while count_lines(parts) < lines:
            assert launcher.poll() is None
            time.sleep(0.01)
        before = workers_of(launcher)
        os.kill(before[victim], signal.SIGKILL)
        while set(workers_of(launcher)) & set(before):
            assert launcher.poll() is None
            time.sleep(0.01)
    assert launcher.wait() == 0
    assert metrics_lines(parts) == metrics_lines(whole)
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole, parts))
    for state in ("student", "task"):
        assert all(torch.equal(value, second[state][key]) for key, value in first[state].items())
    assert "resumed after epoch" in (parts / "log.txt").read_text()


def test_resuming_with_another_number_of_processes(tiny_overrides: list[str], tmp_path: Path):
    """The same global batches of the same samples; BatchNorm sees other shares, so only nearly the same losses."""
    common = ["train", *tiny_overrides, "SOLVER.BASE_LR", "0.001"]
    assert start(TRAIN, [*common[1:], "SOLVER.EPOCHS", "1"]).wait() == 0
    assert main([*common, "--resume"]) == 0
    lines = metrics_lines(tmp_path / "run")
    assert [(line["epoch"], line.get("step")) for line in lines] == [(1, 2), (2, 4), (2, None)]
    assert main([*common, "OUTPUT_DIR", str(tmp_path / "whole")]) == 0
    for line, other in zip(lines[:2], metrics_lines(tmp_path / "whole")[:2], strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=0.1)


def test_a_ranks_exception_ends_the_run(tiny_overrides: list[str], tmp_path: Path):
    """Its one line with its rank, torchrun's root cause, an exit code, and nobody who waits for the dead."""
    script = tmp_path / "breaking.py"
    script.write_text(BREAKING_TASK)
    started = time.monotonic()
    overrides = [*tiny_overrides, "TASK.NAME", "breaking"]
    process = start(str(script), overrides, stderr=subprocess.PIPE, text=True)
    _, log = process.communicate()
    assert process.returncode != 0
    assert time.monotonic() - started < 60
    said = [line.removeprefix("kdvideo: error: ") for line in log.splitlines() if line.startswith("kdvideo: error: ")]
    assert "rank 1: the third batch of rank 1 is odd" in said
    other = "rank 0: another process of the run has ended; its own message, if any, says why"
    assert set(said) <= {"rank 1: the third batch of rank 1 is odd", other}
    assert "ValueError: the third batch of rank 1 is odd" in log.split("Root Cause")[1]
    assert [line["epoch"] for line in metrics_lines(tmp_path / "run")] == [1]  # and its checkpoint is there
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["epoch"] == 1
