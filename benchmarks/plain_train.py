"""R3D-18 with labels, as SPDL reports it: clips a second from files, and of the steps alone.

    python benchmarks/plain_train.py ROOT [--device cuda] [--json FILE]

torchvision's r3d_18, 16 frames of 112 x 112, a batch of 16, bf16, SGD, from kdvideo's own loader with default settings.
SPDL's page on Kinetics-400 and 8 H100 (facebookresearch/spdl, autoresearch_example_v2) gives 1,368 clips/s end to end
and 3,405 with a cached batch, so 171 and 426 a GPU. Its videos are others, so the steps alone compare best. ROOT is a
dataset in UCF101's layout; `file_steps.py` says how it is measured. TFLOP/s count 3 times the forward, without the
stem's input gradient.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from device_rates import count_operations, matmul_rate
from file_steps import measure_run
from json_lines import write_line

from kdvideo.config import load_config
from kdvideo.engine.build import build_model_spec


def main() -> None:
    """Prints a JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="without it: the GPU where there is one")
    parser.add_argument("--backbone", default="r3d_18")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--amp", choices=("bf16", "fp16", "fp32"), default="bf16")
    parser.add_argument("--augment-on", choices=("worker", "device"), nargs="+", default=["worker", "device"])
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=8, help="how many times the training list is repeated")
    parser.add_argument("--seconds", type=float, default=12, help="of real epochs, for each case")
    parser.add_argument("--steps", type=int, default=20, help="steps alone that count")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="further pairs of the config")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets a line as soon as a result is there")
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    for place in options.augment_on:
        line = measure(options, place)
        print(json.dumps(line), flush=True)
        write_line(options.json, line)


def measure(options: argparse.Namespace, augment_on: str) -> dict:
    """One result; what went wrong is a result, too."""
    values = {
        "TASK.NAME": "supervised",
        "MODEL.BACKBONE": options.backbone,
        "CLIP.LENGTH": options.length,
        "CLIP.SIZE": options.size,
        "CLIP.MODALITY": "rgb",
        "SOLVER.BATCH_SIZE": options.batch,
        "SOLVER.AMP": options.amp,
        "SOLVER.EPOCHS": 1000,
        "DATA.ROOT": str(options.root),
        "DATA.AUGMENT_ON": augment_on,
    }
    line = {"root": options.root.name, "backbone": options.backbone, "augment_on": augment_on}
    try:
        cfg = load_config(None, [*(str(item) for pair in values.items() for item in pair), *options.set])
        line |= measure_run(cfg, repeat=options.repeat, seconds=options.seconds, num_steps=options.steps)
    except Exception as error:  # the other case is to be measured all the same
        return {**line, "error": f"{type(error).__name__}: {error}"[:1000]}
    device = torch.device(line["device"])
    _, both = count_operations(build_model_spec(cfg).build().backbone, 3, options.length, options.size, options.size)
    rate = both * line["compute_only_per_s"] / 1e12
    return {**line, "TFLOP/s": round(rate, 1), "share_of_matmul": round(rate * 1e12 / matmul_rate(device), 4)}


if __name__ == "__main__":
    main()
