"""`--submit slurm --parts N`: an array of N tasks, each with a part of the videos, and a job that joins them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from kdvideo.cli import slurm
from kdvideo.cli.options import part_number
from kdvideo.cli.slurm import Job

__all__ = ["add_arguments", "is_asked", "submit_parts"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--part`, and the options of an array of parts."""
    parser.add_argument(
        "--part", type=part_number, metavar="I/N", help="only every N-th video from the I-th on, I >= 1"
    )
    job = slurm.add_part_arguments(parser)
    job.add_argument("--parts", type=int, metavar="N", help="one task for each of N parts; a last job joins them")


def is_asked(options: argparse.Namespace) -> bool:
    """Returns whether the command is to be submitted.

    Raises:
        ValueError: it is not, but has options of jobs.
    """
    if not options.submit and (options.dry_run or options.parts is not None):
        raise ValueError("--parts and --dry-run are for jobs: add --submit slurm")
    return bool(options.submit)


def submit_parts(
    options: argparse.Namespace, arguments: Sequence[str], *, num_videos: int, continues: bool = True
) -> None:
    """Submits an array with a task for each part, and a job that joins the parts if all of them succeed.

    Args:
        options: the options of `add_arguments`.
        arguments: the arguments of `kdvideo` for the whole. Without a part, they join the parts.
        num_videos: the number of videos. There may be no more parts.
        continues: whether a part goes on where it was stopped, so that it can be requeued at its time limit.

    Raises:
        ValueError: the number of parts is not allowed, `--part` is given, or `kdvideo.cli.slurm.send` refuses a job.
    """
    if options.part is not None or options.parts is None:
        raise ValueError("--submit slurm does all parts: give their number by --parts, and no --part")
    if not 1 <= options.parts <= num_videos:
        raise ValueError(f"--parts is {options.parts}; it must be from 1 to the number of videos, {num_videos}")
    parts = Job(
        [*arguments, "--part", f"{slurm.ARRAY_TASK}/{options.parts}"],
        options,
        output_dir=Path(),
        others={"array": f"1-{options.parts}", "signal": slurm.notice(options, to="B:") if continues else None},
    )
    if options.dry_run:
        print(parts.script, _joining(options, arguments, after="NUMBER_OF_THE_ARRAY").script, sep="\n")
        return
    slurm.send(_joining(options, arguments, after=slurm.send(parts)))


def _joining(options: argparse.Namespace, arguments: Sequence[str], *, after: str) -> Job:
    others = {"dependency": f"afterok:{after}", "kill-on-invalid-dep": "yes", "signal": None}
    return Job(arguments, options, output_dir=Path(), others=others)
