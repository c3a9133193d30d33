"""Commands in a small private machine: another user, little shared memory, a disk that cannot be written."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
NOBODY = 12345  # has no entry in /etc/passwd
COMMAND = [sys.executable, "-m", "kdvideo.cli"]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter and write; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="kdvideo-open-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def run_in(
    folder: Path,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    shared_memory: str = "",
    user: int = 0,
    read_only: bool = False,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a mount namespace of its own; its environment has nothing but what is named.

    Args:
        folder: where it starts, which can be written.
        command: program and arguments.
        environment: beside PATH, PYTHONPATH and OMP_NUM_THREADS.
        shared_memory: the size of /dev/shm, as `mount` takes it; "" leaves it.
        user: number of the user, without any group.
        read_only: whether nothing but `folder` and /dev/shm can be written.
        timeout: seconds.
    """
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs root and the right to mount, for a small /dev/shm and another user")
    lines = ["set -e", *(_open_python(folder) if user else [])]
    if shared_memory:
        lines.append(f"mount -t tmpfs -o size={shared_memory} tmpfs /dev/shm")
    if read_only:
        lines += [f'mount --bind "{folder}" "{folder}"', "mount -o remount,bind,ro /"]
    switch = f"setpriv --reuid {user} --regid {user} --clear-groups" if user else ""
    lines.append(f'cd "{folder}" && exec {switch} "$@"')
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", "\n".join(lines), "sh", *command],
        env={**known, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _open_python(folder: Path) -> list[str]:
    """Puts an open folder in the place of one that is closed to others, as /root is, and into it what Python needs."""
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), REPOSITORY}
    closed = {parent for path in needed for parent in path.parents if not parent.stat().st_mode & 0o001}
    lines = []
    for top in closed:
        inside = [path for path in needed if path.is_relative_to(top)]
        for number, path in enumerate(inside):
            lines += [f'mkdir -p "{folder}/.needed-{number}"', f'mount --bind "{path}" "{folder}/.needed-{number}"']
        lines.append(f'mount -t tmpfs -o mode=755 tmpfs "{top}"')
        for number, path in enumerate(inside):
            lines += [f'mkdir -p "{path}"', f'mount --bind "{folder}/.needed-{number}" "{path}"']
    return lines
