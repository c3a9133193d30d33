"""`kdvideo eval`."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import add_device
from kdvideo.cli.process import long_work

if TYPE_CHECKING:
    from kdvideo.evaluation.result import Evaluation

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `eval` to argparse's `commands`."""
    parser = commands.add_parser("eval", help="retrieval, kNN, linear probe, classes, pretext: what a model is worth")
    parser.add_argument("model", metavar="NAME", help="zoo name, path or URL; a bare architecture has random weights")
    parser.add_argument("--config-file", type=Path, help="a yaml file, or a name of `kdvideo configs`: eval/..")
    parser.add_argument(
        "--protocols",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,NAME",
        help="of pretext, retrieval, knn, linear_probe, classify; unless given, what model and data allow, or only "
        "classify where the model knows the data's classes",
    )
    parser.add_argument("--crops", type=int, choices=(1, 3), default=1, help="of each clip (default %(default)s)")
    parser.add_argument("--all-splits", action="store_true", help="splits 1, 2 and 3, and their mean")
    parser.add_argument("--save", action="store_true", help="write metrics and protocol into the model's zoo entry")
    add_device(parser)
    add_import_argument(parser)
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="config keys with new values, DATA.ROOT first"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.config.naming import naming_keys
    from kdvideo.engine.build import configured_zoo
    from kdvideo.engine.evaluate import evaluate
    from kdvideo.engine.evaluation_config import evaluation_config
    from kdvideo.evaluation.save import save_evaluation
    from kdvideo.zoo.record import check_recordable

    cfg = evaluation_config(options.model, options.config_file, options.overrides)
    zoo, entry = configured_zoo(cfg), None
    if options.save:
        with naming_keys():
            entry = check_recordable(options.model, zoo=zoo)
    splits = (1, 2, 3) if options.all_splits else ()
    with long_work():
        evaluation = evaluate(
            cfg, protocols=options.protocols, num_crops=options.crops, splits=splits, device=options.device
        )
    if os.environ.get("RANK", "0") != "0":  # rank 0 speaks and writes
        return
    print(_table(evaluation))
    tables = ", confusion_*.csv" if evaluation.names_classes else ""
    print(f"\n{cfg.OUTPUT_DIR}: evaluation.json{tables}")
    if entry is not None:
        save_evaluation(evaluation, entry, zoo=zoo)
        print(f"{zoo.entry_path(entry.name)}: metrics and protocol saved")


def _table(evaluation: "Evaluation") -> str:
    """Formats one line per metric: its share and 95 % interval, or the shares of several splits and their mean."""
    results = evaluation.splits
    width = max(map(len, evaluation.metrics))
    if len(results) > 1:
        heads = "  ".join(f"split {result.split}" for result in results)
        lines = [f"{evaluation.source} on {evaluation.dataset}", f"{'':{width}}  {heads}  mean"]
        for name, mean in evaluation.metrics.items():
            shares = "  ".join(f"{result.metrics[name]:7.3f}" for result in results)
            lines.append(f"{name:{width}}  {shares}  {mean:.3f}")
        return "\n".join(lines)
    (result,) = results
    lines = [f"{evaluation.source} on {evaluation.dataset}, {result.protocol.partition(';')[0]}"]
    for name, share in result.metrics.items():
        low, high = result.intervals.get(name, (share, share))
        interval = f"  95 % {low:.3f} to {high:.3f}" if low < high else ""
        lines.append(f"{name:{width}}  {share:.3f}{interval}")
    return "\n".join(lines)
