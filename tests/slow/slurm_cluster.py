"""A Slurm of one node with ports, keys and folders of its own: munged, slurmctld and slurmd, started and stopped."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo")
_CONFIG = """
ClusterName=kdvideo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired: 2 minutes unless told.
AuthInfo=cred_expire=5,socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=30
MinJobAge=3600
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptMode=REQUEUE
PreemptType=preempt/partition_prio
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""


def why_not() -> str | None:
    """What keeps Slurm from being started here, or None."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_search_path()) is None]
    if missing:
        return f"no {', '.join(missing)}: install Debian's slurm-wlm and munge"
    return None if os.geteuid() == 0 else "Slurm's daemons are started as root, and this is not root"


@contextmanager
def running_slurm(folder: Path) -> Iterator[Path]:
    """The path of `slurm.conf`, for SLURM_CONF, while the daemons run; their output is in `folder`."""
    config = folder / "slurm.conf"
    with _free_port() as first, _free_port() as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    config.write_text(_CONFIG.format(host=socket.gethostname().split(".")[0], folder=folder, ports=ports))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    own = [f"--{what}={folder}/munge.{what.removesuffix('-file')}" for what in ("socket", "key-file", "pid-file")]
    own += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": _search_path()}
    daemons: list[subprocess.Popen] = []
    try:
        for command, ready in (
            (["munged", "--foreground", "--force", *own], (folder / "munge.socket").exists),
            (["slurmctld", "-D"], lambda: _answers(["scontrol", "ping"], "UP", environment)),
            (["slurmd", "-D"], lambda: _answers(["sinfo", "--noheader", "-o", "%t"], "idle", environment)),
        ):
            with (folder / f"{command[0]}.out").open("w") as output:
                daemons.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
            wait_until(ready, seconds=30, what=f"{command[0]} ({folder}/{command[0]}.out)")
        try:
            yield config
        finally:  # of a test that failed; without slurmd nobody would end them
            subprocess.run(["scancel", "--user", "root", "--signal=KILL"], env=environment, check=False)
            subprocess.run(["scancel", "--user", "root"], env=environment, check=False)
            listed = ["squeue", "--noheader"]
            wait_until(lambda: not _answers(listed, "\n", environment), seconds=60, what="Slurm's last jobs")
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=60)


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Looks every 50 ms."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def _answers(command: list[str], expected: str, environment: dict[str, str]) -> bool:
    return expected in subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _free_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
