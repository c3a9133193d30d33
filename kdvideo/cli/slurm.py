"""`kdvideo train --submit slurm`: the same command as a Slurm job, with one rank per task.

submitit submits the job and tells each process its rank. We replace its handling of signals, which would requeue the
job in the middle of a step and without the other ranks. We do not use its job states: they come from sacct, which
returns nothing if accounting is off.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from kdvideo.cli.options import EXIT_STOPPED
from kdvideo.extras import extra_imports
from kdvideo.paths import expand_user

__all__ = ["add_arguments", "has_left_queue", "submit", "submit_command"]

_NOTICE = 120  # seconds before the time limit at which the run is told to stop; at most a quarter of the job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a job to those of `kdvideo train`."""
    job = parser.add_argument_group("as a Slurm job")
    job.add_argument("--submit", choices=["slurm"], help="submit this command as a job instead of running it")
    job.add_argument("--nodes", type=_count, default=1)
    job.add_argument("--tasks-per-node", type=_count, default=1, help="processes per node; one per GPU")
    job.add_argument("--gpus-per-node", type=int, default=0)
    job.add_argument("--cpus-per-task", type=_count, default=1, help="the process and its DATA.NUM_WORKERS")
    job.add_argument(
        "--time", type=_minutes, metavar="H:MM", default=60, help="hours and minutes; requeued if not done"
    )
    job.add_argument("--partition")
    job.add_argument("--account")
    job.add_argument("--sbatch", action="append", default=[], metavar="KEY=VALUE", help="any other option of sbatch")


def submit(cfg: Any, options: argparse.Namespace) -> int:
    """Submits `kdvideo train` and prints where its log will be.

    Args:
        cfg: the loaded config. Errors in it are reported before the job waits in a queue.
        options: the parsed command line.

    Raises:
        ValueError: submitit or Slurm is missing, sbatch refuses the job, or the ranks cannot share a batch.
    """
    from kdvideo.config import validate_config

    validate_config(cfg)
    num_ranks = options.nodes * options.tasks_per_node
    if cfg.SOLVER.BATCH_SIZE % num_ranks:
        raise ValueError(
            f"SOLVER.BATCH_SIZE is {cfg.SOLVER.BATCH_SIZE}; it must be a multiple of the {num_ranks} tasks"
        )
    submit_command(_arguments(options), options, output_dir=Path(cfg.OUTPUT_DIR))
    return 0


def submit_command(arguments: list[str], options: argparse.Namespace, *, output_dir: Path) -> str:
    """Submits a `kdvideo` command as a job and prints where its log will be.

    Args:
        arguments: the arguments of `kdvideo`.
        options: the options of `add_arguments`.
        output_dir: the run's folder. The log is in its `slurm/`.

    Returns:
        The job's number.

    Raises:
        MissingExtraError: submitit is not installed.
        ValueError: Slurm is missing, or sbatch refuses the job.
    """
    with extra_imports():
        import submitit
    try:
        executor = submitit.SlurmExecutor(expand_user(output_dir).resolve() / "slurm")
        executor.update_parameters(**_parameters(options))
        job = executor.submit(_run_rank, arguments)
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:  # srun is missing, or sbatch's own message
        raise ValueError(f"--submit slurm: {' '.join(str(error).split())}") from None
    print(f"submitted job {job.job_id}; its log: {job.paths.stdout}", flush=True)
    return job.job_id


def has_left_queue(job: str) -> bool:
    """Returns whether a Slurm job has ended. It asks squeue, which needs no accounting."""
    found = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return (found.returncode == 0 and not found.stdout.strip()) or "Invalid job id" in found.stderr


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    others = dict(_key_value(text) for text in options.sbatch)
    return {
        "job_name": "kdvideo",
        "nodes": options.nodes,
        "ntasks_per_node": options.tasks_per_node,
        "cpus_per_task": options.cpus_per_task,
        "time": options.time,
        "signal_delay_s": min(_NOTICE, options.time * 60 // 4),
        "stderr_to_stdout": True,
        # If a rank fails, it ends the others. srun does not inherit cpus-per-task from sbatch.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={options.cpus_per_task}"],
        "additional_parameters": {"requeue": True, **others},
        **({"gpus_per_node": options.gpus_per_node} if options.gpus_per_node else {}),
        **{key: value for key in ("partition", "account") if (value := getattr(options, key))},
    }


def _arguments(options: argparse.Namespace) -> list[str]:
    """Returns the command line without the job's options."""
    from kdvideo.config.shipped import find_config

    arguments = ["train"]
    if options.config_file is not None:
        arguments += ["--config-file", str(find_config(options.config_file).resolve())]
    arguments += [word for name in options.imports for word in ("--import", name)]
    arguments += [f"--{flag}" for flag in ("resume", "eval-only") if getattr(options, flag.replace("-", "_"))]
    return [*arguments, *options.overrides]


def _run_rank(arguments: list[str]) -> None:
    """Runs one task of the job, which is one rank of the run."""
    from submitit.helpers import TorchDistributedEnvironment

    from kdvideo.cli import main

    os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    # Before the first step and after the last one, there is nothing to save. In between, the run handles signals.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCONT, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, _requeue_now)
    code = main(arguments)
    if code == EXIT_STOPPED:  # stopped between two steps, with a checkpoint
        _requeue()
    elif code:
        sys.exit(code)


def _requeue_now(number: int, frame: FrameType | None) -> None:
    _requeue()


def _requeue() -> None:
    """Requeues the job, on rank 0 only. It ignores a job that Slurm itself is ending (preemption, scancel)."""
    if os.environ["RANK"] != "0":
        return
    job = os.environ["SLURM_JOB_ID"]
    described = subprocess.run(
        ["scontrol", "show", "job", "--oneliner", job], capture_output=True, text=True, check=False
    )
    if "JobState=RUNNING" in described.stdout.split():
        print(f"kdvideo: requeue job {job}", file=sys.stderr, flush=True)
        subprocess.run(["scontrol", "requeue", job], check=False)


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 1")
    return int(text)


def _minutes(text: str) -> int:
    match = re.fullmatch(r"(\d+):([0-5]\d)", text)
    minutes = 60 * int(match[1]) + int(match[2]) if match else 0
    if minutes == 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be hours and minutes, H:MM, e.g. 24:00 for a day")
    return minutes


def _key_value(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found:
        raise ValueError(f"--sbatch {text!r} must be KEY=VALUE, e.g. --sbatch qos=long")
    return key, value
