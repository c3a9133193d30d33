"""Tuples a second of real epochs, from videos to new weights, against the steps alone in the same process.

    python benchmarks/end_to_end.py ROOT [ROOT ...] [--cases worker device cache cache_device resident] [--json FILE]

ROOT is a dataset in UCF101's layout: videos, proxies of `kdvideo data prepare`, or both in turn. A distillation step of
16 tuples of 3 clips of 16 x 112 x 112 by an r3d_10 of width 64 in bf16, its teacher online, with default settings:

    worker        the workers augment (DATA.AUGMENT_ON worker)
    device        colours and blur are done on the device
    cache         frames come from DATA.CACHE auto, which the first run fills: KDVIDEO_HOME/frames
    cache_device  both
    resident      both, and the frames lie in the device's memory (DATA.CACHE_ON device)

`file_steps.py` says how it is measured. `waiting` is what the run's own log says of each epoch. Each result is a
JSON line of --json as soon as it is there.
"""

import argparse
import json
from pathlib import Path

from file_steps import measure_run
from json_lines import write_line

from kdvideo.config import load_config

CASES = {
    "worker": {},
    "device": {"DATA.AUGMENT_ON": "device"},
    "cache": {"DATA.CACHE": "auto"},
    "cache_device": {"DATA.CACHE": "auto", "DATA.AUGMENT_ON": "device", "DATA.CACHE_ON": "host"},
    "resident": {"DATA.CACHE": "auto", "DATA.AUGMENT_ON": "device", "DATA.CACHE_ON": "device"},
}


def measure_case(root: Path, case: str, options: argparse.Namespace) -> dict:
    """One result; what went wrong is a result, too."""
    values = {
        "TASK.NAME": "distill",
        "TEACHER.WEIGHTS": "random",
        "MODEL.BACKBONE": options.backbone,
        "MODEL.WIDTH": options.width,
        "CLIP.LENGTH": options.length,
        "CLIP.SIZE": options.size,
        "SOLVER.BATCH_SIZE": options.tuples,
        "SOLVER.AMP": options.amp,
        "SOLVER.EPOCHS": 1000,
        "DATA.ROOT": str(root),
        **CASES[case],
    }
    line = {"root": root.name, "case": case, "backbone": options.backbone}
    try:
        cfg = load_config(None, [*(str(item) for pair in values.items() for item in pair), *options.set])
        return line | measure_run(cfg, repeat=options.repeat, seconds=options.seconds, num_steps=options.steps)
    except Exception as error:  # the other cases are to be measured all the same
        return {**line, "error": f"{type(error).__name__}: {error}"[:1000]}


def main() -> None:
    """Prints a line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+", metavar="ROOT")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--backbone", default="r3d_10")
    parser.add_argument("--tuples", type=int, default=16)
    parser.add_argument("--amp", choices=("bf16", "fp16", "fp32"), default="bf16")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=8, help="how many times the training list is repeated")
    parser.add_argument("--seconds", type=float, default=12, help="of real epochs, for each case")
    parser.add_argument("--steps", type=int, default=20, help="steps alone that count")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="further pairs of the config")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets a line as soon as a result is there")
    options = parser.parse_args()
    for root in options.roots:
        for case in options.cases:
            line = measure_case(root, case, options)
            print(json.dumps(line), flush=True)
            write_line(options.json, line)


if __name__ == "__main__":
    main()
