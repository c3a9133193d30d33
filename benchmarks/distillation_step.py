"""A step of pure distillation, its teacher's answers replayed, against a step of PCL: same network, same videos.

    python benchmarks/distillation_step.py DATA [--backbone r3d_10] [--pairs 10] [--threads 1] [--device cpu]

DATA is a folder in UCF101's layout, with its lists. One process has the trainers that `kdvideo train` builds for both.
In each pair, both take a step on the same batch of videos: PCL on tuples of 3 clips, with its pretext and its bank;
pure distillation on one clip per video, by the cosine loss through a linear layer. Who begins alternates. Reading the
videos is timed apart, in this process, without a cache. Answers are stored before a step is timed, as those of
TEACHER.REPLAY are for every student after the first. The teacher is a random network: what it costs is not in the
figures.

The last line is one JSON object: medians in milliseconds, and the median of the pairs' ratios, without reading and
with it.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from step_cases import computing_as_run, random_teacher
from torch.utils.data import default_collate

from kdvideo.config import load_config
from kdvideo.data.batch import SampleKey
from kdvideo.engine.build import build_model_spec
from kdvideo.engine.memory import keep_freed_memory
from kdvideo.engine.pretraining import pretraining
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Trainer
from kdvideo.engine.training import build_task, build_trainer

PURE = [
    *("TASK.NAME", "distill", "PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"),
    *("TEACHER.LOSSES", "[embedding_distillation]", "TEACHER.REPLAY", "True"),
]
WARM_UP = 2  # pairs that are not counted


def main() -> None:
    """Takes the steps and prints their times."""
    options = read_options()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDVIDEO_HOME"] = folder  # where the answers are stored
        cases = {
            name: build(options, Path(folder), *extra) for name, extra in (("pcl", ()), ("distillation", tuple(PURE)))
        }
        with computing_as_run(cases["pcl"][0], options.device):
            found = measure({name: trainer for name, (_, trainer) in cases.items()}, options)
    print(json.dumps({**vars(options), **found}))


def read_options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of the videos, with UCF101's lists")
    parser.add_argument("--backbone", default="r3d_10")
    parser.add_argument("--width", type=int, default=16, help="channels of the stem")
    parser.add_argument("--length", type=int, default=8, help="frames of a clip")
    parser.add_argument("--size", type=int, default=56, help="pixels of a clip's side")
    parser.add_argument("--batch", type=int, default=16, help="videos in a step")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    return parser.parse_args()


def build(options: argparse.Namespace, folder: Path, *extra: str) -> tuple[CfgNode, Trainer]:
    """Builds a run's config and trainer. Its loader is not used."""
    given: dict[str, Any] = {
        "DATA.ROOT": options.data,
        "DATA.NUM_WORKERS": 0,
        "DATA.SHORT_SIDE": max(64, options.size),
        "MODEL.BACKBONE": options.backbone,
        "MODEL.WIDTH": options.width,
        "CLIP.LENGTH": options.length,
        "CLIP.SIZE": options.size,
        "SOLVER.BATCH_SIZE": options.batch,
        "SOLVER.EPOCHS": 4,
    }
    cfg = load_config(None, [*(str(item) for pair in given.items() for item in pair), *extra])
    device = torch.device(options.device)
    parts = pretraining(cfg, RunFolder(folder), device=device)
    teachers = [random_teacher(build_model_spec(cfg))] if extra else []
    task = build_task(cfg, parts, teachers=teachers, device=device)
    return cfg, build_trainer(cfg, parts, task=task, device=device)


def measure(trainers: dict[str, Trainer], options: argparse.Namespace) -> dict[str, Any]:
    """Takes pairs of steps; returns the medians."""
    names = {name: [record.name for record in one.loader.dataset.videos.records] for name, one in trainers.items()}
    shared = sorted({*names["pcl"]} & {*names["distillation"]})  # PCL leaves videos out that are too short for a tuple
    steps: dict[str, list[float]] = {name: [] for name in trainers}
    reading: dict[str, list[float]] = {name: [] for name in trainers}
    for trainer in trainers.values():
        trainer.run_step.forward.train()
    for number in range(WARM_UP + options.pairs):
        chosen = [shared[(number * options.batch + i) % len(shared)] for i in range(options.batch)]
        epoch = number * options.batch // len(shared)
        for name in sorted(trainers, reverse=bool(number % 2)):
            trainer = trainers[name]
            keys = [SampleKey(epoch, names[name].index(video)) for video in chosen]
            batch, read = timed(partial(read_batch, trainer, keys), options.device)
            if name == "distillation":  # the answers of a student before this one
                store_answers(trainer, batch)
            _, taken = timed(partial(trainer._train_step, batch), options.device)
            if number >= WARM_UP:
                steps[name].append(taken)
                reading[name].append(read)
    return summarise(steps, reading)


def read_batch(trainer: Trainer, keys: list[SampleKey]) -> dict[str, Any]:
    """Reads samples as a worker does."""
    return default_collate([trainer.loader.dataset[key] for key in keys])


def store_answers(trainer: Trainer, batch: dict[str, Any]) -> None:
    """Has the teacher answer to a batch, without a step."""
    task = trainer.task
    moved = trainer._to_device(dict(batch))
    with torch.no_grad():
        for lesson in task.lessons:
            lesson.answers(moved, prepared=None)
    task.flush()
    if not task.is_steady(task.complete_batch(batch)):
        raise RuntimeError("the answers were not stored")


def timed(action: Callable[[], Any], device: str) -> tuple[Any, float]:
    """Returns what an action gives, and its seconds."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = action()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def summarise(steps: dict[str, list[float]], reading: dict[str, list[float]]) -> dict[str, Any]:
    """Returns medians in milliseconds, and of the pairs' ratios."""
    whole = {name: [a + b for a, b in zip(steps[name], reading[name], strict=True)] for name in steps}

    def ratio(seconds: dict[str, list[float]]) -> float:
        pairs = zip(seconds["distillation"], seconds["pcl"], strict=True)
        return round(statistics.median(own / other for own, other in pairs), 3)

    return {
        "step_ms": {name: round(1000 * statistics.median(values), 1) for name, values in steps.items()},
        "reading_ms": {name: round(1000 * statistics.median(values), 1) for name, values in reading.items()},
        "ratio": ratio(steps),
        "ratio_with_reading": ratio(whole),
    }


if __name__ == "__main__":
    main()
