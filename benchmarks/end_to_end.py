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

from file_options import add_options, make_config, measure_config
from json_lines import write_line

CASES = {
    "worker": {},
    "device": {"DATA.AUGMENT_ON": "device"},
    "cache": {"DATA.CACHE": "auto"},
    "cache_device": {"DATA.CACHE": "auto", "DATA.AUGMENT_ON": "device", "DATA.CACHE_ON": "host"},
    "resident": {"DATA.CACHE": "auto", "DATA.AUGMENT_ON": "device", "DATA.CACHE_ON": "device"},
}


def measure_case(root: Path, case: str, options: argparse.Namespace) -> dict:
    """Returns the line of one case."""
    values = {
        "TASK.NAME": "distill",
        "TEACHER.WEIGHTS": "random",
        "MODEL.WIDTH": options.width,
        "SOLVER.BATCH_SIZE": options.tuples,
        **CASES[case],
    }
    line = {"root": root.name, "case": case, "backbone": options.backbone}
    return line | measure_config(make_config(root, values, options), options)


def main() -> None:
    """Prints a line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+", metavar="ROOT")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--backbone", default="r3d_10")
    parser.add_argument("--tuples", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    add_options(parser)
    options = parser.parse_args()
    for root in options.roots:
        for case in options.cases:
            line = measure_case(root, case, options)
            print(json.dumps(line), flush=True)
            write_line(options.json, line)


if __name__ == "__main__":
    main()
