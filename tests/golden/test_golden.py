"""Losses and batches are those of golden.json, which were recorded once.

Whether a change moved a number is told to the bit by compare.py; this test finds it without an earlier commit.
`python tests/golden/test_golden.py` records them again: only for a change that is meant to move numbers.
"""

import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from compare import differences
from side import COMMON, RUNS, VIDEOS, recorded

from kdvideo.config import load_config
from kdvideo.data.synthetic import write_synthetic_ucf101
from kdvideo.engine.launch import train
from kdvideo.registry import TASKS

GOLDEN = Path(__file__).resolve().with_name("golden.json")
CASES = (
    *("vcp residual", "vcop rgb", "rotnet residual", "pcl queue_nce", "supervised"),
    *("distill logit", "distill embedding", "distill similarity"),
)
SHORT = "SOLVER.EPOCHS 1 DATA.NUM_WORKERS 0 EVAL.TUPLES_PER_VIDEO 1 EVAL.FINAL_CLIPS_PER_VIDEO 1"
TOLERANCE = 1e-4  # relative; with AVX2 instead of AVX-512 losses move by 8e-7 in four steps


def environment() -> dict[str, str]:
    """Returns what decides the last bits of pixels and sums."""
    return {"torch": torch.__version__, "PyAV": av.__version__, "processor": _processor()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def steps_of(case: str, data: Path, out: Path) -> list[dict[str, Any]]:
    """Runs a case, and returns the hashes of each step's batch and its numbers."""
    steps: list[dict[str, Any]] = []
    places = ["DATA.ROOT", str(data), "OUTPUT_DIR", str(out), "ZOO.DIR", str(out / "zoo")]
    cfg = load_config(None, f"{COMMON} {RUNS[case]} {SHORT}".split() + places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)  # a CPU made the record
        task = TASKS.get(cfg.TASK.NAME)
        patch.setattr(task, "forward", recorded(task.forward, steps.append))
        train(cfg)
    return steps


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_ucf101(tmp_path_factory.mktemp("golden"), VIDEOS)


@pytest.fixture(scope="module", params=CASES)
def both(
    request: pytest.FixtureRequest, golden: dict[str, Any], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns a case's steps as they are now and as they were recorded."""
    now = steps_of(request.param, data, tmp_path_factory.mktemp("run"))
    return now, golden["steps"][request.param]


@pytest.fixture(scope="module")
def differing(golden: dict[str, Any]) -> str:
    """Returns what here is not as it was at the recording; "" where everything is."""
    before = golden["environment"]
    return "; ".join(f"{key} {now}, not {before[key]}" for key, now in environment().items() if now != before[key])


def test_batches_are_those_recorded(both, differing):
    """To the bit, with the same PyTorch and PyAV on the same processor."""
    if differing:
        pytest.skip(f"pixels may differ in their last bits: {differing}")
    now, before = both
    assert [step["batch"] for step in now] == [step["batch"] for step in before]


def test_losses_are_those_recorded(both, differing):
    """Each part of the loss, in each of three or four steps, wherever the pixels are those recorded.

    Without AVX2, PyTorch resizes pictures by other sums, which moves losses by 2 %.
    """
    now, before = both
    if differing and [step["batch"] for step in now] != [step["batch"] for step in before]:
        pytest.skip(f"pixels differ in their last bits: {differing}")
    assert len(now) >= 3
    for number, (step, wanted) in enumerate(zip(now, before, strict=True)):
        assert step["scalars"] == pytest.approx(wanted["scalars"], rel=TOLERANCE, abs=TOLERANCE), f"step {number}"


def test_a_comparison_finds_each_difference():
    """In a value, in a list's length, and in what one side lacks; equal findings give none."""
    before = {"steps": [{"loss": 1.5}, {"loss": 2.5}], "weights": {"a": "x"}, "lines": [1, 2]}
    assert not list(differences(before, json.loads(json.dumps(before))))
    after = {"steps": [{"loss": 1.5}, {"loss": 2.5000001}], "weights": {"a": "x", "b": "y"}, "lines": [1]}
    assert list(differences(before, after)) == [
        "/steps/1/loss: 2.5 | 2.5000001",
        "/weights/b: None | y",
        "/lines: [1, 2] | [1]",
    ]


def _record() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = write_synthetic_ucf101(Path(folder) / "data", VIDEOS)
        steps = {case: steps_of(case, data, Path(folder) / case.replace(" ", "_")) for case in CASES}
    GOLDEN.write_text(json.dumps({"environment": environment(), "steps": steps}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(_record())
