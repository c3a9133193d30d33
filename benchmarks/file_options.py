"""Options and results that `end_to_end.py` and `plain_train.py` have in common."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from file_steps import measure_run
from fvcore.common.config import CfgNode

from kdvideo.config import load_config

NUM_EPOCHS = 1000  # more than the measured seconds have


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of clips, precision, measuring and output."""
    parser.add_argument("--amp", choices=("bf16", "fp16", "fp32"), default="bf16")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--repeat", type=int, default=8, help="how many times the training list is repeated")
    parser.add_argument("--seconds", type=float, default=12, help="of real epochs, for each case")
    parser.add_argument("--steps", type=int, default=20, help="steps alone that count")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help="further pairs of the config")
    parser.add_argument("--json", type=Path, metavar="FILE", help="gets a line as soon as a result is there")


def make_config(root: Path, values: Mapping[str, Any], options: argparse.Namespace) -> CfgNode:
    """Makes the config of a run from some values and from what `add_options` has read.

    Args:
        root: the dataset's folder.
        values: values of the config besides those that the options name.
        options: the options.
    """
    values = {
        **values,
        "MODEL.BACKBONE": options.backbone,
        "CLIP.LENGTH": options.length,
        "CLIP.SIZE": options.size,
        "SOLVER.AMP": options.amp,
        "SOLVER.EPOCHS": NUM_EPOCHS,
        "DATA.ROOT": str(root),
    }
    return load_config(None, [*(str(item) for pair in values.items() for item in pair), *options.set])


def measure_config(cfg: CfgNode, options: argparse.Namespace) -> dict[str, Any]:
    """Measures a run. What went wrong is a result, too, since the other cases are to be measured all the same."""
    try:
        return measure_run(cfg, repeat=options.repeat, seconds=options.seconds, num_steps=options.steps)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:1000]}
