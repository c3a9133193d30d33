"""How long a submission looks at data, teacher and zoo, by the commands themselves."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
_ROOM = 2.0  # seconds over `kdvideo doctor`


def run(*arguments: str) -> tuple[float, subprocess.CompletedProcess]:
    """Seconds of a command of kdvideo, and its result."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "kdvideo.cli", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return time.perf_counter() - started, done


def test_three_mistakes_are_refused_before_sbatch(tiny_overrides: list[str], tmp_path: Path, monkeypatch):
    """Each in one line, in no more time than `kdvideo doctor` and 2 s in the same run; sbatch is not called."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f"#!/bin/bash\ntouch {tmp_path}/called\necho 7\n")
    sbatch.chmod(0o755)
    (tmp_path / "file").touch()  # where the zoo should be a folder
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    submit = ["train", "--submit", "slurm", *tiny_overrides]
    _, done = run(*submit)  # a sound one, which reads the packages from the disk
    assert "submitted job 7" in done.stdout, done.stderr
    (tmp_path / "called").unlink()
    limit = run("doctor")[0] + _ROOM
    for mistake, message in (
        (["DATA.ROOT", "/nonexist"], "DATA.ROOT /nonexist is not a folder"),
        (["TASK.NAME", "distill", "TEACHER.WEIGHTS", "nosuchteacher"], "unknown zoo entry 'nosuchteacher'"),
        (["ZOO.PUBLISH_AS", "a.b", "ZOO.DIR", str(tmp_path / "file" / "zoo")], "ZOO.DIR"),
    ):
        seconds, done = run(*submit, *mistake)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("kdvideo: error: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
        assert seconds < limit, (mistake, seconds, limit)
    assert not (tmp_path / "called").exists()
