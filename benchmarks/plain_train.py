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
from file_options import add_options, make_config, measure_config
from json_lines import write_line

from kdvideo.engine.build import build_model_spec


def main() -> None:
    """Prints a JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="without it: the GPU where there is one")
    parser.add_argument("--backbone", default="r3d_18")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--augment-on", choices=("worker", "device"), nargs="+", default=["worker", "device"])
    add_options(parser)
    options = parser.parse_args()
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    for place in options.augment_on:
        line = measure(options, place)
        print(json.dumps(line), flush=True)
        write_line(options.json, line)


def measure(options: argparse.Namespace, augment_on: str) -> dict:
    """Returns the line of one case."""
    values = {
        "TASK.NAME": "supervised",
        "CLIP.MODALITY": "rgb",
        "SOLVER.BATCH_SIZE": options.batch,
        "DATA.AUGMENT_ON": augment_on,
    }
    line = {"root": options.root.name, "backbone": options.backbone, "augment_on": augment_on}
    cfg = make_config(options.root, values, options)
    line |= measure_config(cfg, options)
    if "error" in line:
        return line
    device = torch.device(line["device"])
    _, both = count_operations(build_model_spec(cfg).build().backbone, 3, options.length, options.size, options.size)
    rate = both * line["compute_only_per_s"] / 1e12
    return {**line, "TFLOP/s": round(rate, 1), "share_of_matmul": round(rate * 1e12 / matmul_rate(device), 4)}


if __name__ == "__main__":
    main()
