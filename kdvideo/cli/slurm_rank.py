"""One task of a Slurm job, as `python -m kdvideo.cli.slurm_rank COMMAND ...`: a rank of a run, or a part of other work.

submitit tells each process its rank. We do not use its handling of signals, which would requeue the job in the middle
of a step and without the other ranks.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

from kdvideo.cli.options import EXIT_STOPPED

__all__ = ["run_task"]


def run_task(arguments: list[str]) -> int:
    """Runs one task of the job. Returns its exit code."""
    from submitit.helpers import TorchDistributedEnvironment

    from kdvideo.cli import main

    os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    # Before the first step and after the last one, there is nothing to save. In between, a run handles signals.
    signal.signal(signal.SIGUSR2, _requeue_now)
    code = main(arguments)
    if code == EXIT_STOPPED:  # stopped between two steps, with a checkpoint
        _requeue()
        return 0
    return code


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


if __name__ == "__main__":
    sys.exit(run_task(sys.argv[1:]))
