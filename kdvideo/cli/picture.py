"""`kdvideo picture`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.imports import add_import_argument
from kdvideo.cli.options import add_model_argument, add_time_limit

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `picture` and its kinds to argparse's `commands`."""
    parser = commands.add_parser("picture", help="curves, features, neighbours, Grad-CAM, confusions as image files")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    curves = _add_kind(kinds, "curves", _curves, help="metrics over epochs, a line a run")
    curves.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="runs, or folders of runs")
    curves.add_argument(
        "--metrics", nargs="+", default=["pretext_accuracy"], metavar="NAME", help="a panel each (default %(default)s)"
    )

    confusion = _add_kind(kinds, "confusion", _confusion, help="what videos of each class were taken for")
    confusion.add_argument(
        "table", type=Path, metavar="FILE.csv", help="counts, with class names in first row and column"
    )

    retrieval = _add_kind(kinds, "retrieval", _retrieval, help="videos beside those whose features are most alike")
    _add_gallery(retrieval)
    add_time_limit(retrieval)

    tsne = _add_kind(kinds, "tsne", _tsne, help="features before and after training as points, coloured by class")
    _add_gallery(tsne)
    tsne.add_argument("--model", metavar="NAME", help="where the table's model is now; unless given, where it was")
    tsne.add_argument("--workers", type=int, default=0, help="processes that decode (default: this one)")
    add_time_limit(tsne)
    add_import_argument(tsne)

    gradcam = _add_kind(kinds, "gradcam", _gradcam, help="where and when a video speaks for its class")
    gradcam.add_argument("video", type=Path, metavar="VIDEO")
    add_model_argument(gradcam)
    gradcam.add_argument("--gallery", type=Path, help="what `kdvideo embed` wrote, for a model without classes")
    gradcam.add_argument("--class", dest="class_name", metavar="NAME", help="unless given, the one that the model says")
    add_time_limit(gradcam)


def _add_kind(kinds: Any, name: str, run: Any, *, help: str) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=help)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .png, .jpg, .svg or .pdf to write")
    parser.set_defaults(run=_checked, draw=run)
    return parser


def _add_gallery(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gallery", type=Path, metavar="FILE.parquet", help="what `kdvideo embed VIDEOS` wrote")
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="the folder that was embedded")


def _checked(options: argparse.Namespace) -> None:
    """Checks the output path, then makes and writes the picture."""
    from kdvideo.pictures.style import check_out, save_figure

    check_out(options.out)
    save_figure(options.draw(options), options.out)
    print(options.out)


def _curves(options: argparse.Namespace) -> Any:
    from kdvideo.pictures.curves import draw_curves
    from kdvideo.report.runs import find_runs

    return draw_curves(find_runs(options.runs), options.metrics)


def _confusion(options: argparse.Namespace) -> Any:
    from kdvideo.pictures.confusion import draw_confusion, read_confusion

    return draw_confusion(*read_confusion(options.table))


def _retrieval(options: argparse.Namespace) -> Any:
    from kdvideo.inference.neighbours import build_grid
    from kdvideo.pictures.retrieval import draw_grid

    return draw_grid(build_grid(options.gallery, options.videos, time_limit=options.time_limit))


def _tsne(options: argparse.Namespace) -> Any:
    from kdvideo.inference.gallery import Gallery
    from kdvideo.inference.untrained import untrained_gallery
    from kdvideo.pictures.style import short_name
    from kdvideo.pictures.tsne import draw_tsne

    after = Gallery.read(options.gallery)
    before = untrained_gallery(
        after,
        options.videos,
        source=options.model,
        num_workers=options.workers,
        time_limit=options.time_limit,
    )
    panels = {"before: random weights": before.features.numpy(), "after training": after.features.numpy()}
    return draw_tsne(panels, after.class_names, title=short_name(after.facts.model))


def _gradcam(options: argparse.Namespace) -> Any:
    from kdvideo.inference.explain import explain_video
    from kdvideo.inference.predict import Predictor
    from kdvideo.pictures.gradcam import draw_gradcam
    from kdvideo.pictures.style import short_name

    predictor = Predictor(options.model, gallery=options.gallery)
    cam = explain_video(predictor, options.video, class_name=options.class_name, time_limit=options.time_limit)
    return draw_gradcam(cam, title=f"{options.video.name}, {short_name(options.model)}")
