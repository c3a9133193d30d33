"""`kdvideo train`, and `tools/train_net.py`."""

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `train` to argparse's `commands`."""
    parser = commands.add_parser("train", help="train, evaluate and publish, as a config says")
    parser.add_argument("--config-file", type=Path, help="a yaml file; see model_zoo/configs")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="continue the run in OUTPUT_DIR")
    mode.add_argument("--eval-only", action="store_true", help="measure MODEL.WEIGHTS or OUTPUT_DIR's checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.config import load_config
    from kdvideo.engine.launch import evaluate, train

    cfg = load_config(options.config_file, options.overrides)
    if options.eval_only:
        evaluate(cfg)
    else:
        train(cfg, resume=options.resume)
