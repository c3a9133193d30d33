"""How a run was started, for its zoo entry: command, processes, threads, versions and commit."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from kdvideo.engine.run_folder import RunFolder
from kdvideo.zoo.entry import Start

__all__ = ["checkout_commit", "start_of", "started_by"]

# The command that the user gave, where sys.argv is another: that of a worker, or of a job's task.
started_by: ContextVar[Sequence[str]] = ContextVar("started_by", default=())

_SECONDS = 10  # most that git may take


@cache
def checkout_commit() -> str:
    """Returns the commit of kdvideo's checkout, and whether files differ from it. "" if it is no checkout.

    It is asked once: the modules in memory are those of the process's beginning.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}, with changes that are not committed" if changed else commit


def start_of(folder: RunFolder) -> Start | None:
    """Returns how a run was started, as it has written it down. None if an earlier version of kdvideo did not."""
    values = folder.environment()
    command = values.get("command")
    start: dict[str, Any] = {
        "command": _shown(command) if isinstance(command, list) else None,
        "ranks": values.get("ranks"),
        "threads": values.get("torch_threads"),
        "device": values.get("cuda") or "cpu",
        "kdvideo": values.get("kdvideo"),
        "git": values.get("git"),
        "torch": values.get("torch"),
    }
    is_whole = all(isinstance(start[key], kind) for key, kind in get_type_hints(Start).items())
    return Start(**start) if is_whole else None  # type: ignore[typeddict-item]


def _shown(command: Sequence[object]) -> str:
    """Returns a command's words as a shell takes them. The path of kdvideo's own script is no part of it."""
    first, *others = map(str, command)
    name = Path(first).name
    is_ours = name == "kdvideo" or first.endswith(os.path.join("kdvideo", "cli", "__main__.py"))
    return shlex.join(["kdvideo", *others] if is_ours else ["python", first, *others])


def _git(root: Path, *arguments: str) -> str:
    """Returns what git answers. "" if there is no git, or it fails."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
