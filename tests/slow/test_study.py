"""A real study: killed half-way, continued, one run's folder removed, a longer run checked; its probes, its report."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejson
import yaml

from kdvideo.engine.run_folder import FACTS_NAME
from kdvideo.paths import zoo_root
from kdvideo.study.plan import plan_runs
from kdvideo.study.read import read_study

pytestmark = pytest.mark.slow


def write_study(folder: Path) -> Path:
    path = folder / "study.yaml"
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": {
            "MODEL": {"WIDTH": 4},
            "CLIP": {"SIZE": 32},
            "DATA": {"SHORT_SIDE": 36, "NUM_WORKERS": 0},
            "SOLVER": {"BATCH_SIZE": 6},
            "EVAL": {"TUPLES_PER_VIDEO": 5, "CLIPS_PER_VIDEO": 1},
        },
        "ARCHITECTURES": ["r3d_10", "c3d"],
        "SEEDS": [0, 1],
        "EPOCHS": 4,
        "SETTINGS": {
            "paper": {"TEACHER_EPOCHS": 4, "CONFIG": {"TEACHER": {"REPLAY": True}}, "PAIRS": [["c3d", "r3d_10"]]}
        },
    }
    path.write_text(yaml.safe_dump(values))
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "import sys; from kdvideo.cli import main; sys.exit(main())", *map(str, arguments)]


def finished(output: Path) -> dict[str, int]:
    """Finished runs, and when."""
    return {path.parent.name: path.stat().st_mtime_ns for path in output.glob(f"runs/*/{FACTS_NAME}")}


def final_lines(output: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text().splitlines()[-1] for path in output.glob("runs/*/metrics.jsonl")}


def test_stopped_with_checkpoints_and_continued(tiny_dataset: Path, tmp_path: Path):
    output = tmp_path / "out"
    run = command("study", "run", write_study(tmp_path), "--data", tiny_dataset, "--output", output, "--at-once", 2)
    process = subprocess.Popen(run, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    # A run that has written an epoch and no end is training.
    while not (
        begun := {path.parent.name for path in output.glob("runs/*/metrics.jsonl") if path.stat().st_size}
        - set(finished(output))
    ):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75
    assert said.splitlines()[-1] == "kdvideo: the study is stopped; the same command goes on"
    stopped = begun - set(finished(output))
    assert stopped
    assert all("kdvideo: stopped after step" in (output / "runs" / f"{name}.log").read_text() for name in stopped)
    subprocess.run(run, check=True, timeout=600)
    assert all("resumed after epoch" in (output / "runs" / f"{name}.log").read_text() for name in stopped)


def test_killed_continued_and_one_run_made_again(tiny_dataset: Path, tmp_path: Path):
    study = write_study(tmp_path)
    names = {run.name for run in plan_runs(read_study(study))}
    output = tmp_path / "out"
    run = command("study", "run", study, "--data", tiny_dataset, "--output", output, "--at-once", 2)
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not 3 <= len(finished(output)) < len(names):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()  # the study alone: its runs hear of it and end themselves
    assert process.wait() == -signal.SIGKILL
    before = finished(output)
    subprocess.run(run, check=True, timeout=600)
    after = finished(output)
    assert set(after) == names
    assert {name: when for name, when in after.items() if name in before} == before

    lines = final_lines(output)
    folder = output / "runs" / "paper.c3d-from-r3d_10.seed0"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    subprocess.run(run, check=True, timeout=300)
    again = finished(output)
    assert {name for name in names if again[name] != after[name]} == {folder.name}
    assert final_lines(output) == lines

    probe = command("study", "probe", study, "--output", output)
    for count in (len(names), 0):  # the second time there is nothing left to do
        done = subprocess.run(probe, check=True, capture_output=True, text=True)
        assert done.stdout == f"{count} probes fitted; kdvideo study report shows them\n"
    subprocess.run(command("study", "report", study, "--output", output), check=True)
    summary = simplejson.loads((output / "report" / "summary.json").read_text())["paper"]
    assert (summary["pairs"], summary["seeds"]) == (1, 2)
    assert {
        "ratio_mean",
        "ratio_ci",
        "null_ratio_mean",
        "final_delta_ci",
        "linear_probe_delta_ci",
        "alone_equal_compute",
    } <= set(summary)
    assert all((output / "report" / f"paper_{name}.png").stat().st_size > 10_000 for name in ("same", "matrix"))

    # A longer run alone begins as a copy of the shorter one: what is copied is what training again gives.
    whole = command("train", "--config-file", output / "runs" / "c3d.e8.seed0.yaml", "OUTPUT_DIR", tmp_path / "whole")
    subprocess.run(whole, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert lines["c3d.e8.seed0"] == (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[-1]


def test_a_sweep_of_two_by_three_and_its_table(tiny_dataset: Path, tmp_path: Path):
    """Six runs by one command, then a table of them by another, with what differs and what they reached."""
    values = yaml.safe_load(write_study(tmp_path).read_text())
    config = {**values["CONFIG"], "MODEL": {"WIDTH": 4, "BACKBONE": "c3d"}, "SOLVER": {"BATCH_SIZE": 6, "EPOCHS": 1}}
    grid = {"SOLVER.BASE_LR": [0.01, 0.03], "CONTRAST.TEMPERATURE": [0.05, 0.07, 0.1]}
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(yaml.safe_dump({"BASE": values["BASE"], "CONFIG": config, "SEEDS": [0], "GRID": grid}))
    output = tmp_path / "out"
    run = command("study", "run", sweep, "--data", tiny_dataset, "--output", output, "--at-once", 1)
    subprocess.run(run, check=True, timeout=500)
    shown = subprocess.run(
        command("runs", output, "--sort", "pretext_accuracy"), check=True, capture_output=True, text=True, timeout=100
    ).stdout.splitlines()
    rows = [line.split() for line in shown if ".seed0 " in line]
    assert {(row[1], row[2]) for row in rows} == {("finished", "1")}
    assert {(float(row[4]), float(row[3])) for row in rows} == {(a, b) for a in (0.01, 0.03) for b in (0.05, 0.07, 0.1)}
    accuracies = [float(row[5]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
