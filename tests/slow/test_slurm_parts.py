"""32 parts by one command, as an array of a real Slurm, and the job that joins them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import simplejson
from slurm_cluster import running_slurm, wait_until, why_not

from kdvideo.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=f"no Slurm: {why_not()}")]
REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "kdvideo-manifest.jsonl"


def test_32_parts_by_one_command(tiny_dataset: Path, tmp_path: Path, monkeypatch, capsys):
    """All tasks succeed, each with its own videos, and the joined manifest is that of one process."""
    videos = sorted(tiny_dataset.rglob("*.avi"))[:8]
    for folder in ("one", "parts"):
        for copy in "abcde":
            for video in videos:
                target = tmp_path / folder / copy / video.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(video, target)
    assert main(["data", "check", str(tmp_path / "one"), "--workers", "1"]) == 0
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    with running_slurm(tmp_path) as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        capsys.readouterr()
        assert main(["data", "check", "parts", "--submit", "slurm", "--parts", "32", "--time", "0:10"]) == 0
        array, joining = re.findall(r"submitted job (\d+); its log: ", capsys.readouterr().out)
        under_way = {"PENDING", "RUNNING", "COMPLETING"}
        wait_until(lambda: not under_way & {*states(joining)}, seconds=300, what="the jobs")
        logs = {path.name: path.read_text() for path in (tmp_path / "slurm").glob("*.out")}
        assert states(array) == ["COMPLETED"] * 32, logs
        assert states(joining) == ["COMPLETED"], logs
    counts = [int(re.search(r"videos +(\d+)\n", logs[f"{array}_{number}_0_log.out"])[1]) for number in range(1, 33)]
    assert counts == [2] * 8 + [1] * 24
    one, parts = ((tmp_path / folder / NAME).read_text().splitlines() for folder in ("one", "parts"))
    assert len(one) == 40
    assert [simplejson.loads(line) for line in parts] == [simplejson.loads(line) for line in one]
    assert not list((tmp_path / "parts").glob("*.part-*.jsonl"))


def states(job: str) -> list[str]:
    """JobState of a job, or of all tasks of an array."""
    told = subprocess.run(["scontrol", "show", "job", "--oneliner", job], capture_output=True, text=True, check=True)
    return re.findall(r"JobState=(\w+)", told.stdout)
