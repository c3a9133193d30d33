"""`--submit slurm`: a command as a Slurm job, by a script that says all of it and can be submitted by hand, too.

submitit's own jobs would run pickles, which nobody can read or submit again. We do not use its job states either: they
come from sacct, which returns nothing if accounting is off.
"""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdvideo.extras import extra_imports
from kdvideo.paths import expand_user

__all__ = [
    "ARRAY_TASK",
    "Job",
    "add_arguments",
    "add_part_arguments",
    "asks_for_gpu",
    "has_left_queue",
    "notice",
    "send",
    "submit_command",
]

ARRAY_TASK = "${SLURM_ARRAY_TASK_ID}"  # in arguments: the number of the part, which the script of an array knows
_NOTICE = 120  # seconds before the time limit at which the run is told to stop; at most a quarter of the job


def add_arguments(parser: argparse.ArgumentParser) -> Any:
    """Adds the options of a job whose tasks are ranks of one run. Returns their group."""
    job = _add_common(parser)
    job.add_argument("--nodes", type=_count, default=1)
    job.add_argument("--tasks-per-node", type=_count, default=1, help="processes per node; one per GPU")
    return job


def add_part_arguments(parser: argparse.ArgumentParser) -> Any:
    """Adds the options of jobs of one task each. Returns their group."""
    job = _add_common(parser)
    job.add_argument("--dry-run", action="store_true", help="print the jobs' scripts instead of submitting them")
    parser.set_defaults(nodes=1, tasks_per_node=1)
    return job


def _add_common(parser: argparse.ArgumentParser) -> Any:
    job = parser.add_argument_group("as a Slurm job")
    job.add_argument("--submit", choices=["slurm"], help="submit this command as a job instead of running it")
    job.add_argument("--gpus-per-node", type=int, default=0)
    job.add_argument("--cpus-per-task", type=_count, default=1, help="the process and its DATA.NUM_WORKERS")
    job.add_argument(
        "--time", type=_minutes, metavar="H:MM", default=60, help="hours and minutes; requeued if not done"
    )
    job.add_argument("--partition")
    job.add_argument("--account")
    job.add_argument("--sbatch", action="append", default=[], metavar="KEY=VALUE", help="any other option of sbatch")
    return job


class Job:
    """The script of a job.

    Args:
        arguments: the arguments of `kdvideo`.
        options: the options of `add_arguments`.
        output_dir: the folder of the work. The log is in its `slurm/`.
        others: options of sbatch in place of the usual ones. None takes an option away. The user's own come last.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        options: argparse.Namespace,
        *,
        output_dir: Path,
        others: Mapping[str, str | None] | None = None,
    ) -> None:
        self.folder = expand_user(output_dir).resolve() / "slurm"
        self._arguments = arguments
        self._cpus = options.cpus_per_task
        parameters = {**_parameters(options), **(others or {}), **dict(map(_key_value, options.sbatch))}
        self._parameters = {key: value for key, value in parameters.items() if value is not None}
        self._name = "%A_%a" if "array" in self._parameters else "%j"

    @property
    def script(self) -> str:
        """The script, which `sbatch` takes."""
        parameters = {**self._parameters, "output": self._log("0"), "open-mode": "append"}
        lines = [f"#SBATCH {_flag(key, value)}" for key, value in sorted(parameters.items())]
        # If a rank fails, it ends the others. srun does not inherit cpus-per-task from sbatch.
        step = ["srun", "--unbuffered", "--output", self._log("%t"), "--kill-on-bad-exit=1"]
        step += [f"--cpus-per-task={self._cpus}", sys.executable, "-u", "-m", "kdvideo.cli.slurm_rank"]
        command = " ".join([shlex.join(step), *map(_quote, self._arguments)])
        if str(self._parameters.get("signal", "")).startswith("B:"):  # for the script alone, not for what it runs
            is_array = "array" in self._parameters  # whose tasks have numbers of jobs that not all of Slurm takes
            job = f"${{SLURM_ARRAY_JOB_ID}}_{ARRAY_TASK}" if is_array else "$SLURM_JOB_ID"
            command = f"trap 'scontrol requeue {job}' USR2\n{command} &\nwait $!"
        return "\n".join(["#!/bin/bash", *lines, "", "export SUBMITIT_EXECUTOR=slurm", command, ""])

    def log(self, number: str) -> Path:
        """Returns where the log of a submitted job will be. That of a part begins with the array's number."""
        return Path(self._log("0").replace("%j", number).replace("%A_%a", f"{number}_*"))

    def _log(self, task: str) -> str:
        return str(self.folder / f"{self._name}_{task}_log.out")


def submit_command(arguments: Sequence[str], options: argparse.Namespace, *, output_dir: Path) -> str:
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
    return send(Job(arguments, options, output_dir=output_dir))


def send(job: Job) -> str:
    """Submits a job, and prints where its log will be. See `submit_command`."""
    with extra_imports():
        import submitit  # noqa: F401 - it is needed in the job
    if shutil.which("sbatch") is None:
        raise ValueError("--submit slurm: there is no sbatch here: submit where Slurm is, or show the job by --dry-run")
    job.folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["sbatch", "--parsable"], input=job.script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"--submit slurm: {' '.join(done.stderr.split())}")
    number = done.stdout.strip().partition(";")[0]
    (job.folder / f"{number}_submission.sh").write_text(job.script)
    print(f"submitted job {number}; its log: {job.log(number)}", flush=True)
    return number


def has_left_queue(job: str) -> bool:
    """Returns whether a Slurm job has ended. It asks squeue, which needs no accounting."""
    found = subprocess.run(["squeue", "--noheader", "--jobs", job], capture_output=True, text=True, check=False)
    return (found.returncode == 0 and not found.stdout.strip()) or "Invalid job id" in found.stderr


def asks_for_gpu(options: argparse.Namespace) -> bool | None:
    """Returns True if the job has GPUs. Otherwise None: it may be that the partition says so."""
    return True if options.gpus_per_node or any("gpu" in text for text in options.sbatch) else None


def notice(options: argparse.Namespace, *, to: str = "") -> str:
    """Returns sbatch's --signal before the time limit. `to` is "B:" if the script alone gets it."""
    return f"{to}USR2@{min(_NOTICE, options.time * 60 // 4)}"


def _parameters(options: argparse.Namespace) -> dict[str, str | bool | None]:
    found: dict[str, str | bool | None] = {
        "job-name": "kdvideo",
        "nodes": str(options.nodes),
        "ntasks-per-node": str(options.tasks_per_node),
        "cpus-per-task": str(options.cpus_per_task),
        "time": str(options.time),
        "signal": notice(options),
        "requeue": True,
    }
    if options.gpus_per_node:
        found["gpus-per-node"] = str(options.gpus_per_node)
    return found | {key: value for key in ("partition", "account") if (value := getattr(options, key))}


def _flag(key: str, value: str | bool) -> str:
    return f"--{key}" if value is True else f"--{key}={shlex.quote(str(value))}"


def _quote(word: str) -> str:
    """Returns a word as the shell takes it. Slurm's variable for the number of a part stays one."""
    return word if re.fullmatch(rf"{re.escape(ARRAY_TASK)}/\d+", word) else shlex.quote(word)


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
