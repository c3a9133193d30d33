"""Seconds of a student's epoch with a teacher that has answered to all views, against a PCL epoch without a teacher.

    python benchmarks/teacher_views.py ROOT [--views 6] [--pairs 5] [--set KEY VALUE ..]

ROOT is a dataset in UCF101's layout, best of proxies. The teacher is the model that ships with kdvideo, the student an
r3d_10 of width 16 with 3 clips of 8 x 56 x 56 and batches of 8. `kdvideo teach` answers first, in a KDVIDEO_HOME of the
benchmark's own. Then both trainings live in one process, and their epochs take turns after one of each that does not
count. The last line is a JSON object: the seconds, their medians, and the median of the pairs' ratios.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from kdvideo.config import load_config
from kdvideo.engine.pretraining import pretraining
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.teach import teach
from kdvideo.engine.trainer import Trainer
from kdvideo.engine.training import build_task, build_trainer
from kdvideo.zoo.load import load_model

TEACHER = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
CPU = torch.device("cpu")
SMALL = [
    *("MODEL.WIDTH", "16", "CLIP.LENGTH", "8", "CLIP.SIZE", "56", "DATA.SHORT_SIDE", "64", "SOLVER.BATCH_SIZE", "8"),
    *("DATA.NUM_WORKERS", "0"),  # so that an epoch's seconds are all of its work
]


def build(overrides: list[str], folder: Path) -> Trainer:
    """Builds the training of a config, as `kdvideo train` does."""
    cfg = load_config(None, overrides)
    torch.manual_seed(cfg.SEED)
    parts = pretraining(cfg, RunFolder(folder), device=CPU)
    teachers = [load_model(cfg.TEACHER.WEIGHTS)] if cfg.TEACHER.WEIGHTS else []
    return build_trainer(cfg, parts, task=build_task(cfg, parts, teachers=teachers, device=CPU), device=CPU)


def time_epoch(trainer: Trainer) -> float:
    """Returns the seconds of a training's next epoch."""
    trainer.num_epochs = trainer.epoch + 1
    began = time.perf_counter()
    trainer.train()
    return time.perf_counter() - began


def main() -> None:
    """Prints a line a pair, and the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="further pairs of both configs")
    options = parser.parse_args()
    common = [*SMALL, "DATA.ROOT", str(options.root), *options.set]
    taught = [
        *(*common, "TASK.NAME", "distill", "TEACHER.WEIGHTS", TEACHER, "TEACHER.VIEWS", str(options.views)),
        *("TEACHER.LOSSES", "[embedding_distillation]"),
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ["KDVIDEO_HOME"] = home
        began = time.perf_counter()
        num_videos = teach(load_config(None, taught)).num_videos
        teaching = time.perf_counter() - began
        plain, student = build(common, Path(home)), build(taught, Path(home))
        pairs = []
        for number in range(options.pairs + 1):
            pairs.append((time_epoch(plain), time_epoch(student)))
            print(f"pair {number}: plain {pairs[-1][0]:.2f} s, taught {pairs[-1][1]:.2f} s", flush=True)
    counted = pairs[1:]
    result = {
        "videos": num_videos,
        "views": options.views,
        "teach_s": round(teaching, 1),
        "plain_s": [round(plain_s, 2) for plain_s, _ in counted],
        "taught_s": [round(taught_s, 2) for _, taught_s in counted],
        "plain_median_s": round(statistics.median(plain_s for plain_s, _ in counted), 2),
        "taught_median_s": round(statistics.median(taught_s for _, taught_s in counted), 2),
        "median_ratio": round(statistics.median(taught_s / plain_s for plain_s, taught_s in counted), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
