"""Runs of a study, which share a process, equal the same runs in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdvideo.cli import main
from kdvideo.paths import zoo_root

NAME = "paper.r3d_10-from-r3d_10.seed0"  # the second one of the process, after its teacher
LOADER_AND_DTYPE = {"DATA": {"SHORT_SIDE": 36, "NUM_WORKERS": 1}, "SOLVER": {"BATCH_SIZE": 6, "AMP": "bf16"}}


def write_study(folder: Path) -> Path:
    path = folder / "study.yaml"
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": {
            "MODEL": {"WIDTH": 4},
            "CLIP": {"SIZE": 32},
            "EVAL": {"TUPLES_PER_VIDEO": 5, "CLIPS_PER_VIDEO": 1, "FINAL_CLIPS_PER_VIDEO": 10},
            **LOADER_AND_DTYPE,
        },
        "ARCHITECTURES": ["r3d_10"],
        "SEEDS": [0],
        "EPOCHS": 3,
        "CONTROLS": False,
        "SETTINGS": {"paper": {"TEACHER_EPOCHS": 3, "CONFIG": {"TEACHER": {"KD_TEMPERATURE": 4.0}}}},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.slow
def test_a_run_beside_others_equals_one_alone(tiny_dataset: Path, tmp_path: Path):
    output = tmp_path / "out"
    places = ["--data", str(tiny_dataset), "--output", str(output)]
    assert main(["study", "run", str(write_study(tmp_path)), *places, "--at-once", "1"]) == 0
    alone = tmp_path / NAME
    train = "import sys; from kdvideo.cli import main; sys.exit(main())"
    config = ["--config-file", str(output / "runs" / f"{NAME}.yaml"), "OUTPUT_DIR", str(alone)]
    subprocess.run(
        [sys.executable, "-c", train, "train", *config], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (output / "runs" / NAME, alone)]
    assert lines[0][-1] == lines[1][-1]
    curves = [[{**yaml.safe_load(line), "seconds": 0} for line in of_run[:-1]] for of_run in lines]
    assert curves[0] == curves[1]
    assert (output / "runs" / f"{NAME}.log").stat().st_size > 0
