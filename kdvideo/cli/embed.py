"""`kdvideo embed`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli import submit_parts
from kdvideo.cli.options import add_device, add_model_argument, add_time_limit, import_words
from kdvideo.errors import naming

__all__ = ["add_arguments"]


def add_arguments(commands: Any) -> None:
    """Adds `embed` to argparse's `commands`."""
    parser = commands.add_parser("embed", help="features of all videos below a folder, as one table")
    parser.add_argument("folder", type=Path, metavar="DIR", help="videos, in any folders; the first one is the class")
    add_model_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE.parquet",
        help="the table; FILE.safetensors needs no pyarrow",
    )
    parser.add_argument("--clips", type=int, default=10, help="clips of a video (default %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode (default: this one)")
    add_device(parser)
    add_time_limit(parser)
    submit_parts.add_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kdvideo.inference.embed import embed_videos

    with naming(path="--out", num_clips="--clips"):
        if submit_parts.is_asked(options):
            _submit(options)
            return
        done = embed_videos(
            options.folder,
            model=options.model,
            out=options.out,
            num_clips=options.clips,
            num_workers=options.workers,
            time_limit=options.time_limit,
            device=options.device,
            part=options.part,
        )
    count, failed = len(done.names) + len(done.problems), len(done.problems)
    print(f"{options.out}: {count} videos, {failed} without a feature (column problem says why)")


def _submit(options: argparse.Namespace) -> None:
    from kdvideo.inference.gallery_files import check_format
    from kdvideo.inference.videos import list_videos
    from kdvideo.zoo.reach import check_reach

    check_format(options.out)
    videos = list_videos(options.folder)
    check_reach(options.model)
    arguments = ["embed", str(options.folder), "--model", options.model, "--out", str(options.out)]
    arguments += ["--clips", str(options.clips), "--workers", str(options.workers)]
    arguments += ["--time-limit", f"{options.time_limit:g}", *import_words(options)]
    arguments += ["--device", options.device] if options.device else []
    submit_parts.submit_parts(options, arguments, num_videos=len(videos), continues=False)
