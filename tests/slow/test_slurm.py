"""Runs as jobs of a real Slurm: submitted, requeued within an epoch, side by side, and through sbatch."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import simplejson
import torch
import yaml
from pages import BLOCKS
from slurm_cluster import running_slurm, wait_until, why_not

from kdvideo.cli import main
from kdvideo.engine.run_folder import METRICS_NAME
from kdvideo.paths import zoo_root

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=f"no Slurm: {why_not()}")]
REPOSITORY = Path(__file__).resolve().parents[2]
JOB = ["--submit", "slurm", "--nodes", "1", "--gpus-per-node", "0", "--time", "0:30", "--partition", "main"]


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Found by all of Slurm's commands through SLURM_CONF."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as config, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(config))
        patch.setenv("PYTHON", sys.executable)
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        yield


@pytest.fixture
def overrides(tiny_overrides: list[str]) -> list[str]:
    """Twelve epochs of six steps, each of one sample a rank; one evaluation, at the end."""
    return [*tiny_overrides, "SOLVER.BATCH_SIZE", "2", "SOLVER.EPOCHS", "12", "EVAL.PERIOD", "100"]


def submit(capsys: pytest.CaptureFixture, overrides: list[str], *options: str) -> str:
    """`kdvideo train --submit slurm`; the job's number."""
    assert main(["train", *JOB, *options, *overrides]) == 0
    found = re.fullmatch(r"submitted job (\d+); its log: (.*)\n", capsys.readouterr().out)
    assert found
    return found[1]


def describe(job: str) -> dict[str, str]:
    """What `scontrol show job` says."""
    told = subprocess.run(["scontrol", "show", "job", "--oneliner", job], capture_output=True, text=True, check=True)
    return dict(word.partition("=")[::2] for word in told.stdout.split())


def wait_for_job(job: str, log: Path) -> dict[str, str]:
    wait_until(
        lambda: describe(job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), seconds=240, what=f"job {job}"
    )
    described = describe(job)
    assert described["JobState"] == "COMPLETED", "\n".join(path.read_text() for path in log.glob("*.out"))
    return described


def metrics_lines(folder: Path) -> list[dict]:
    path = folder / METRICS_NAME
    lines = [simplejson.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["student"]


def test_requeued_jobs_end_as_an_uninterrupted_one(overrides: list[str], tmp_path: Path, capsys):
    """Warned as before a time-out, requeued by hand, and by sbatch's script: the same metrics and weights."""
    folders = {name: tmp_path / name for name in ("whole", "warned", "requeued", "script")}
    jobs = {}
    for name in ("whole", "warned", "requeued"):
        jobs[name] = submit(capsys, [*overrides, "OUTPUT_DIR", str(folders[name])], "--tasks-per-node", "2")
        if name != "whole":
            wait_until(lambda name=name: len(metrics_lines(folders[name])) >= 3, seconds=120, what=f"epochs of {name}")
            assert len(metrics_lines(folders[name])) < 12
            interrupt = ["scancel", "--signal=USR2"] if name == "warned" else ["scontrol", "requeue"]
            subprocess.run([*interrupt, jobs[name]], check=True)
    folders["script"].mkdir()
    jobs["script"] = sbatch([*overrides, "OUTPUT_DIR", str(folders["script"])], folders["script"])
    wait_until(lambda: len(metrics_lines(folders["script"])) >= 3, seconds=120, what="epochs of the script")
    subprocess.run(["scancel", "--batch", "--signal=USR2", jobs["script"]], check=True)
    for name, job in jobs.items():
        described = wait_for_job(job, folders[name] if name == "script" else folders[name] / "slurm")
        assert described["Restarts"] == ("0" if name == "whole" else "1"), name
        assert metrics_lines(folders[name]) == metrics_lines(folders["whole"]), name
        expected = weights(folders["whole"])
        assert all(torch.equal(value, expected[key]) for key, value in weights(folders[name]).items()), name
        resumed = re.findall(r"resumed after epoch \d+ and (\d) steps", (folders[name] / "log.txt").read_text())
        assert len(resumed) == (name != "whole"), name
        assert all(1 <= int(steps) <= 6 for steps in resumed), name  # within an epoch


def sbatch(overrides: list[str], folder: Path) -> str:
    """`tools/slurm_train.sh`; the job's number."""
    script = str(REPOSITORY / "tools" / "slurm_train.sh")
    command = ["sbatch", "--parsable", f"--output={folder}/job.out", "--time=0:30:00", script, *overrides]
    environment = {**os.environ, "PROCESSES": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_students_of_one_teacher_side_by_side(
    tiny_overrides: list[str], tmp_path: Path, capsys, new_process: Callable[[], None]
):
    """Both train at the same time by `scontrol show job`, and both are in the zoo with their teacher's hash.

    One is README's own backbone, which its job imports.
    """
    own = tmp_path / "my_net.py"
    own.write_text(next(block.text for block in BLOCKS if block.page == "README.md" and block.title == own.name))
    common = [*tiny_overrides, "SOLVER.EPOCHS", "10", "EVAL.PERIOD", "100"]
    teacher = [*common, "OUTPUT_DIR", str(tmp_path / "teacher"), "ZOO.PUBLISH_AS", "teacher.x"]
    assert main(["train", *teacher]) == 0
    capsys.readouterr()
    jobs = {}
    for backbone in ("r2plus1d_10", "tiny_net"):
        student = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", "teacher.x", "MODEL.BACKBONE", backbone]
        where = ["OUTPUT_DIR", str(tmp_path / backbone), "ZOO.PUBLISH_AS", f"{backbone}.student"]
        jobs[backbone] = submit(capsys, [*common, *student, *where], "--import", str(own))
        new_process()
    spans = []
    for backbone, job in jobs.items():
        described = wait_for_job(job, tmp_path / backbone / "slurm")
        spans.append([datetime.fromisoformat(described[key]) for key in ("StartTime", "EndTime")])
    (start, end), (other_start, other_end) = spans
    assert max(start, other_start) < min(end, other_end)
    published = simplejson.loads((tmp_path / "zoo" / "entries" / "teacher.x.json").read_text())
    for backbone in jobs:
        entry = simplejson.loads((tmp_path / "zoo" / "entries" / f"{backbone}.student.json").read_text())
        assert entry["teacher"] == {"name": "teacher.x", "sha256": published["sha256"]}
        assert entry["metrics"]["pretext_accuracy"] == metrics_lines(tmp_path / backbone)[-1]["pretext_accuracy"]


def test_a_study_as_jobs(tiny_dataset: Path, tmp_path: Path, capsys):
    """Each run is a job, submitted when what it needs is there; started again, nothing is submitted."""
    study, output = tmp_path / "study.yaml", tmp_path / "out"
    config = {
        "MODEL": {"WIDTH": 4},
        "CLIP": {"SIZE": 32},
        "DATA": {"SHORT_SIDE": 36, "NUM_WORKERS": 0},
        "SOLVER": {"BATCH_SIZE": 6},
        "EVAL": {"TUPLES_PER_VIDEO": 1, "CLIPS_PER_VIDEO": 1},
    }
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": config,
        "ARCHITECTURES": ["r3d_10"],
        "SEEDS": [0, 1],
        "EPOCHS": 3,
        "CONTROLS": False,
        "SETTINGS": {"paper": {"TEACHER_EPOCHS": 3, "CONFIG": {}}},
    }
    study.write_text(yaml.safe_dump(values))
    command = ["study", "run", str(study), "--data", str(tiny_dataset), "--output", str(output), *JOB]
    assert main(command) == 0
    jobs = re.findall(r"submitted job (\d+)", capsys.readouterr().out)
    assert len(jobs) == 4
    described = [describe(job) for job in jobs]
    assert {one["JobState"] for one in described} == {"COMPLETED"}
    spans = [[datetime.fromisoformat(one[key]) for key in ("StartTime", "EndTime")] for one in described]
    assert max(end for _, end in spans[:2]) <= max(start for start, _ in spans[2:])  # teachers first, then students
    names = {f"{name}.seed{seed}" for name in ("r3d_10.e3", "paper.r3d_10-from-r3d_10") for seed in (0, 1)}
    assert {path.parent.name for path in output.glob(f"runs/*/{METRICS_NAME}")} == names
    assert main(command) == 0
    assert "submitted" not in capsys.readouterr().out


def test_mistakes_are_found_before_the_queue(tiny_overrides: list[str], capsys):
    """Of the config, of the number of tasks, and what sbatch itself refuses; each in one line."""
    for options, expected in (
        (["--tasks-per-node", "4"], "SOLVER.BATCH_SIZE is 6; it must be a multiple of the 4 tasks"),
        (["--partition", "none"], "--submit slurm: sbatch: error: invalid partition specified: none"),
        (["--sbatch", "qos"], "--sbatch 'qos' must be KEY=VALUE, e.g. --sbatch qos=long"),
    ):
        assert main(["train", *JOB, *options, *tiny_overrides]) == 2
        message = capsys.readouterr().err.splitlines()[-1]  # sbatch's own lines are shown before it
        assert message.startswith(f"kdvideo: error: {expected}")
