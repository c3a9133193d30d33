"""The command `kdvideo`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main", "train_main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of kdvideo's commands; a user's mistake ends in one line on standard error and exit code 2."""
    parser = argparse.ArgumentParser(prog="kdvideo", description="Self-supervised video models, distilled and kept.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train_arguments(commands.add_parser("train", help="train, evaluate and publish, as a config says"))
    demo = commands.add_parser("demo", help="teacher, student alone and distilled student on generated videos")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--output", type=Path, default=Path("output/demo"), help="folder of everything it makes")
    zoo = commands.add_parser("zoo", help="list the models, or write a zoo's MODEL_ZOO.md again")
    zoo_commands = zoo.add_subparsers(dest="zoo_command", required=True)
    listing = zoo_commands.add_parser("list", help="names that create_model takes")
    listing.add_argument("pattern", nargs="?", default="*")
    render = zoo_commands.add_parser("render", help="write MODEL_ZOO.md from the entries")
    render.add_argument("directory", type=Path)
    return _run(parser.parse_args(arguments))


def train_main(arguments: Sequence[str] | None = None) -> int:
    """`tools/train_net.py`: the same as `kdvideo train`."""
    return main(["train", *(sys.argv[1:] if arguments is None else arguments)])


def _add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config-file", type=Path, help="a yaml file; see model_zoo/configs")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--resume", action="store_true", help="continue the run in OUTPUT_DIR")
    mode.add_argument("--eval-only", action="store_true", help="measure MODEL.WEIGHTS or OUTPUT_DIR's checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values")


def _run(options: argparse.Namespace) -> int:
    # Threads that wait by spinning take the processor from the loader's workers and from other jobs; what sleeping is
    # worth: `benchmarks/step_settings.py`. OpenMP reads this once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        {"train": _train, "demo": _demo, "zoo": _zoo}[options.command](options)
    except (ValueError, FloatingPointError, OSError) as error:
        # A loader's worker sends its whole traceback as the message; its last line is the error.
        message = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        print(f"kdvideo: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = "; continue with --resume" if options.command == "train" else ""
        print(f"kdvideo: interrupted{hint}", file=sys.stderr)
        return 130
    return 0


# The commands import what they need themselves: `kdvideo --help` answers without loading torch.


def _train(options: argparse.Namespace) -> None:
    from kdvideo.config import load_config
    from kdvideo.engine.launch import evaluate, train

    cfg = load_config(options.config_file, options.overrides)
    if options.eval_only:
        evaluate(cfg)
    else:
        train(cfg, resume=options.resume)


def _demo(options: argparse.Namespace) -> None:
    from kdvideo.study.demo import run_demo

    run_demo(options.output, seed=options.seed)


def _zoo(options: argparse.Namespace) -> None:
    from kdvideo.zoo.load import list_models
    from kdvideo.zoo.render import render_zoo

    if options.zoo_command == "list":
        print("\n".join(list_models(options.pattern)))
    else:
        print(render_zoo(options.directory.expanduser()))


if __name__ == "__main__":
    sys.exit(main())
