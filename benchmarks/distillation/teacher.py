"""Publishes the image teacher, measures its own features, and has it answer to its views of all videos.

    python benchmarks/distillation/teacher.py DATA OUT

What is there already is not done again. OUT/teacher.json has its metrics, and about how many minutes of a core all of
its answers take: a sixteenth of them, computed once more into an empty store, times sixteen.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from kdvideo.config import load_config
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.teach import teach
from kdvideo.files import write_text
from kdvideo.zoo import Zoo

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from image_teacher import publish_teacher  # noqa: E402
from plan import IMAGE_TEACHER, VIEWS  # noqa: E402

PARTS = 16


def minutes_of_answers(keys: Sequence[str]) -> float:
    """Returns about how many minutes of a core the teacher's answers take."""

    def seconds(part: int) -> float:
        start = time.process_time()
        teach(load_config(None, keys), part=(part, PARTS))
        return time.process_time() - start

    home = os.environ.get("KDVIDEO_HOME")
    with TemporaryDirectory() as folder:
        os.environ["KDVIDEO_HOME"] = folder
        try:
            seconds(1)  # also looks into all videos
            return PARTS * (seconds(2) - seconds(1)) / 60  # less a start that answers nothing
        finally:
            os.environ.pop("KDVIDEO_HOME") if home is None else os.environ.update(KDVIDEO_HOME=home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    path = options.out / "teacher.json"
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "cpu_minutes_of_answers" in facts:
        return
    torch.set_num_threads(1)
    publish_teacher(Zoo(options.out / "zoo"))
    keys = [
        *("DATA.ROOT", str(options.data), "DATA.NUM_WORKERS", "0", "ZOO.DIR", str(options.out / "zoo")),
        *("SOLVER.AMP", "bf16", "OUTPUT_DIR", str(options.out / "runs" / "teacher")),
    ]
    taught_keys = [*keys, "TASK.NAME", "distill", "TEACHER.WEIGHTS", IMAGE_TEACHER, "TEACHER.VIEWS", str(VIEWS)]
    teach(load_config(None, taught_keys))
    if not facts:
        measured = load_config(None, [*keys, "MODEL.WEIGHTS", IMAGE_TEACHER, "DATA.SHORT_SIDE", "160"])
        facts = dict(evaluate(measured, protocols=["retrieval", "linear_probe"]).metrics)
    facts["cpu_minutes_of_answers"] = minutes_of_answers(taught_keys)
    write_text(path, json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
