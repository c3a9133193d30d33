"""`kdvideo embed`."""

import argparse
from pathlib import Path
from typing import Any

from kdvideo.cli.options import add_device, add_model_argument, add_time_limit
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
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from kdvideo.inference.gallery import write_features
    from kdvideo.inference.gallery_files import check_format
    from kdvideo.inference.predict import compute_features
    from kdvideo.inference.videos import list_videos

    if options.clips < 1:
        raise ValueError(f"--clips is {options.clips}; it must be 1 or more")
    with naming(path="--out"):
        check_format(options.out)
    if not options.folder.is_dir():
        raise ValueError(f"{options.folder} is not a folder: give the folder of the videos")
    videos = list_videos([options.folder])
    outputs, facts = compute_features(
        options.model,
        videos,
        num_clips=options.clips,
        num_workers=options.workers,
        time_limit=options.time_limit,
        device=options.device,
    )
    progress = tqdm(outputs, total=len(videos), unit="video", disable=None)
    failed = write_features(options.out, progress, root=options.folder, facts=facts)
    print(f"{options.out}: {len(videos)} videos, {failed} without a feature (column problem says why)")
