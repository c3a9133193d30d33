"""`kdvideo predict`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.options import add_device, add_model_argument, add_time_limit
from kdvideo.foreign import printable

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `predict` to argparse's `commands`."""
    parser = commands.add_parser("predict", help="classes of videos, or their nearest videos in a gallery")
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="a video or a folder of videos")
    add_model_argument(parser)
    parser.add_argument("--gallery", type=Path, help="what `kdvideo embed` wrote with the same model")
    parser.add_argument("--top", type=int, default=5, help="answers per video (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of a table")
    add_device(parser)
    add_time_limit(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    """Prints an answer or a reason per video. It returns 1 if a video has no answer."""
    import simplejson

    from kdvideo.inference.predict import Predictor, VideoPrediction
    from kdvideo.inference.videos import list_videos

    def line(one: VideoPrediction) -> str:
        if options.json:
            return simplejson.dumps(one.to_dict())
        answers = "; ".join(
            "  ".join(_short(value) for value in vars(answer).values() if value != "") for answer in one.best
        )
        return f"{one.video}: {answers or one.problem}"

    videos = list_videos(options.videos)  # before a model is loaded
    failed = 0
    predictor = Predictor(options.model, gallery=options.gallery, device=options.device)
    for one in predictor(videos, top=options.top, time_limit=options.time_limit):
        failed += one.problem is not None
        print(printable(line(one)), flush=True)
    return int(failed > 0)


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
