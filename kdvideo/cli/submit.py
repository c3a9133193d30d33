"""`kdvideo train --submit slurm`: each config is a job with one rank per task, looked at before it waits in a queue."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdvideo.cli import slurm
from kdvideo.cli.options import import_words
from kdvideo.cli.slurm import Job

__all__ = ["add_arguments", "submit_runs"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of jobs to those of `kdvideo train`."""
    job = slurm.add_arguments(parser)
    job.add_argument("--dry-run", action="store_true", help="print the job's script instead of submitting it")
    job.add_argument(
        "--unchecked",
        action="store_true",
        help="do not look at data, teacher and zoo first: only the job's machines see them",
    )


def submit_runs(options: argparse.Namespace) -> int:
    """Submits a job for each config of `kdvideo train`, and prints where its log will be.

    Nothing is submitted unless all of them can be.

    Raises:
        ValueError: a run would be refused at its start, submitit or Slurm is missing, or sbatch refuses a job.
    """
    runs = _runs(options)
    for cfg, _ in runs:
        _check(cfg, options)
    jobs = [Job(arguments, options, output_dir=Path(cfg.OUTPUT_DIR)) for cfg, arguments in runs]
    for job in jobs:
        if options.dry_run:
            print(job.script)
        else:
            slurm.send(job)
    return 0


def _runs(options: argparse.Namespace) -> list[tuple[Any, list[str]]]:
    """Returns the config of each run, and the arguments of `kdvideo` that start it."""
    from kdvideo.config import load_config
    from kdvideo.config.shipped import find_config

    named: list[Path | None] = [find_config(name).resolve() for name in options.config_files]
    files = named or [None]
    configs = [load_config(file, options.overrides) for file in files]
    folders = _folders(files, configs)
    runs = []
    for file, cfg, folder in zip(files, configs, folders, strict=True):
        own = [] if folder == cfg.OUTPUT_DIR else ["OUTPUT_DIR", folder]
        cfg.OUTPUT_DIR = folder
        runs.append((cfg, _arguments(options, file, own)))
    _refuse_same("ZOO.PUBLISH_AS", [cfg.ZOO.PUBLISH_AS for cfg in configs if cfg.ZOO.PUBLISH_AS])
    return runs


def _folders(files: Sequence[Path | None], configs: Sequence[Any]) -> list[str]:
    """Returns OUTPUT_DIR of each run. If two are the same, each run has a folder in it, named as its config file."""
    folders = [cfg.OUTPUT_DIR for cfg in configs]
    if len(set(folders)) < len(folders):
        folders = [str(Path(folder) / file.stem) for folder, file in zip(folders, files, strict=True) if file]
    _refuse_same("OUTPUT_DIR", folders)
    return folders


def _refuse_same(key: str, values: Sequence[str]) -> None:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{key} is {repeated[0]} for two of the configs: give each its own")


def _arguments(options: argparse.Namespace, file: Path | None, own: Sequence[str]) -> list[str]:
    """Returns the command line of a run, without the job's options."""
    arguments = ["train"]
    if file is not None:
        arguments += ["--config-file", str(file)]
    arguments += import_words(options)
    arguments += [f"--{flag}" for flag in ("resume", "eval-only") if getattr(options, flag.replace("-", "_"))]
    return [*arguments, *options.overrides, *own]


def _check(cfg: Any, options: argparse.Namespace) -> None:
    from kdvideo.config import validate_config
    from kdvideo.engine.before import check_evaluation, check_run

    num_ranks = options.nodes * options.tasks_per_node
    if cfg.SOLVER.BATCH_SIZE % num_ranks:
        raise ValueError(
            f"SOLVER.BATCH_SIZE is {cfg.SOLVER.BATCH_SIZE}; it must be a multiple of the {num_ranks} tasks"
        )
    if not options.eval_only:
        validate_config(cfg, num_ranks=num_ranks, has_gpu=slurm.asks_for_gpu(options))
    if options.unchecked:
        return
    if options.eval_only:
        check_evaluation(cfg)
    else:
        check_run(cfg, resume=options.resume)
