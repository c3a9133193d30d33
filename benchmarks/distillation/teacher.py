"""Publishes the image teacher, measures its own features, and has it answer to its views of all videos.

    python benchmarks/distillation/teacher.py DATA OUT

What is there already is not done again. OUT/teacher.json has its metrics and the seconds that its answers took.
"""

import argparse
import json
import sys
import time
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    facts = options.out / "teacher.json"
    if facts.exists():
        return
    torch.set_num_threads(1)
    publish_teacher(Zoo(options.out / "zoo"))
    keys = [
        *("DATA.ROOT", str(options.data), "DATA.NUM_WORKERS", "0", "ZOO.DIR", str(options.out / "zoo")),
        *("SOLVER.AMP", "bf16", "OUTPUT_DIR", str(options.out / "runs" / "teacher")),
    ]
    taught_keys = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", IMAGE_TEACHER, "TEACHER.VIEWS", str(VIEWS)]
    start = time.process_time()
    teach(load_config(None, [*keys, *taught_keys]))
    seconds = time.process_time() - start
    measured = load_config(None, [*keys, "MODEL.WEIGHTS", IMAGE_TEACHER, "DATA.SHORT_SIDE", "160"])
    metrics = evaluate(measured, protocols=["retrieval", "linear_probe"]).metrics
    write_text(facts, json.dumps({"cpu_seconds_of_answers": seconds, **dict(metrics)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
