"""Measures the seconds of a study of many short runs: three baselines and nine pairs, on generated videos.

    PYTHONPATH=CHECKOUT python benchmarks/study_runs.py --rounds 3 --out seconds.json

Another version of kdvideo is measured with its checkout in PYTHONPATH. Each round has its own KDVIDEO_HOME, so that no
round reads the teacher's answers of an earlier one. CPU seconds are those of all processes.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

import kdvideo
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101
from kdvideo.paths import zoo_root

COMMAND = [sys.executable, "-c", "import sys; from kdvideo.cli import main; sys.exit(main())"]
VIDEOS = SyntheticConfig(train_groups=2, test_groups=1, clips_per_group=1, min_frames=64, max_frames=66)


def write_study(folder: Path, *, width: int, epochs: int) -> Path:
    """Writes a study of 12 runs on clips of 8 x 32 x 32."""
    path = folder / "study.yaml"
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": {
            "MODEL": {"WIDTH": width},
            "CLIP": {"SIZE": 32},
            "DATA": {"SHORT_SIDE": 36, "NUM_WORKERS": 0},
            "SOLVER": {"BATCH_SIZE": 6},
            "EVAL": {"TUPLES_PER_VIDEO": 5, "CLIPS_PER_VIDEO": 1},
        },
        "ARCHITECTURES": ["c3d", "r3d_10", "r2plus1d_10"],
        "SEEDS": [0],
        "EPOCHS": epochs,
        "CONTROLS": False,
        "SETTINGS": {"paper": {"TEACHER_EPOCHS": epochs, "CONFIG": {"TEACHER": {"REPLAY": True}}}},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def measure(study: Path, videos: Path, *, at_once: int) -> dict[str, float]:
    """Runs the study once. Returns its wall-clock and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KDVIDEO_HOME": f"{folder}/home"}
        arguments = ["study", "run", study, "--data", videos, "--output", f"{folder}/out", "--at-once", at_once]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [*COMMAND, *map(str, arguments)]
        # In another folder, because Python looks for kdvideo in the working folder first.
        subprocess.run(command, check=True, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"seconds": round(time.perf_counter() - started, 1), "cpu_seconds": round(cpu, 1)}


def main() -> None:
    """Prints each round, and writes all rounds and their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = write_synthetic_ucf101(Path(folder) / "videos", VIDEOS)
        study = write_study(Path(folder), width=options.width, epochs=options.epochs)
        rounds = []
        for _ in range(options.rounds):
            rounds.append(measure(study, videos, at_once=options.at_once))
            print(rounds[-1], flush=True)
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    result = {"kdvideo": str(Path(kdvideo.__file__).parent), "at_once": options.at_once, "median": medians}
    print(json.dumps(result))
    if options.out:
        options.out.write_text(json.dumps({**result, "rounds": rounds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
