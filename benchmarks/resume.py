"""Kills a run in mid-epoch by SIGKILL and resumes it: are its weights and lines those of a run that nothing stopped?

    python benchmarks/resume.py ROOT [--json FILE] [--set KEY VALUE ...]

An r3d_10 learns PCL for two epochs, four times: with SOLVER.DETERMINISTIC on, left alone and killed; and twice with it
off, which says whether a GPU repeats itself without it. The runs take place at the same time. ROOT is a dataset in
UCF101's layout. Each result is a JSON line.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from json_lines import write_line

from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.run_folder import METRICS_NAME, RunFolder

PERIOD = 3  # steps between two checkpoints


def command(folder: Path, options: argparse.Namespace, *, deterministic: bool, resume: bool = False) -> list[str]:
    """The command of a run."""
    values = {
        "DATA.ROOT": options.root,
        "OUTPUT_DIR": folder,
        "SOLVER.EPOCHS": 2,
        "SOLVER.AMP": "bf16",
        "SOLVER.DETERMINISTIC": deterministic,
        "SOLVER.CHECKPOINT_PERIOD": PERIOD,
        "EVAL.TUPLES_PER_VIDEO": 1,
        "EVAL.CLIPS_PER_VIDEO": 1,
        "EVAL.FINAL_CLIPS_PER_VIDEO": 1,
    }
    pairs = [str(item) for pair in values.items() for item in pair]
    return [sys.executable, "-m", "kdvideo.cli", "train", *(["--resume"] if resume else []), *pairs, *options.set]


def train(folder: Path, options: argparse.Namespace, *, deterministic: bool, killed: bool = False) -> dict[str, str]:
    """Trains, killed once and resumed or not; returns the hashes of weights and lines."""
    if killed:
        with (folder.parent / f"{folder.name}.log").open("w") as log:
            process = subprocess.Popen(
                command(folder, options, deterministic=deterministic), stdout=log, stderr=log, env=_environment()
            )
            _wait_for_checkpoint(folder, process)
            process.kill()  # its workers end themselves
            process.wait()
    done = subprocess.run(
        command(folder, options, deterministic=deterministic, resume=killed),
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"error": done.stderr[-1000:]}
    state = read_state(RunFolder(folder).checkpoints()[0])
    lines = [json.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    kept = [{name: value for name, value in line.items() if not _is_time(name)} for line in lines]
    text = json.dumps(kept, sort_keys=True)
    return {"weights": _hash_weights(state["student"]), "lines": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # what this process finds


def _wait_for_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    """Waits for a checkpoint within the first epoch."""
    while process.poll() is None and not any(folder.glob("checkpoint*.pt")):
        time.sleep(0.02)
    if process.poll() is not None:
        raise RuntimeError(f"the run ended before it could be killed, with exit code {process.returncode}")


def _is_time(name: str) -> bool:
    return "second" in name or "wait" in name


def _hash_weights(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Prints the hashes and what is equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets a line for each run, and the last one")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="further pairs of the config")
    options = parser.parse_args()
    runs = {
        "whole": {"deterministic": True},
        "killed": {"deterministic": True, "killed": True},
        "free_1": {"deterministic": False},
        "free_2": {"deterministic": False},
    }
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(runs)) as pool:
        waiting = {
            name: pool.submit(train, Path(folder) / name, options, **settings) for name, settings in runs.items()
        }
        results = {}
        for name, future in waiting.items():
            try:
                results[name] = future.result()
            except (OSError, RuntimeError) as error:
                results[name] = {"error": str(error)}
            write_line(options.json, {"run": name, **results[name]})
    answer = {
        "killed and resumed is equal": "error" not in results["whole"] and results["whole"] == results["killed"],
        "not deterministic is equal": "error" not in results["free_1"] and results["free_1"] == results["free_2"],
    }
    write_line(options.json, answer)
    print(json.dumps({**results, **answer}))


if __name__ == "__main__":
    main()
