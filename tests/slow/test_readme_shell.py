"""README's commands in a real shell, each a process of its own, torchrun with its two."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import BLOCKS, ROOT, prepare_folder, runnable

pytestmark = pytest.mark.slow


def test_readme_in_a_shell(tmp_path: Path, kdvideo_home: Path, tiny_dataset: Path):
    """Own backbone, teacher, student and report; nothing but the launches' size is changed."""
    prepare_folder(tmp_path, "README.md", tiny_dataset)
    shown = [block for block in BLOCKS if block.page == "README.md" and block.kind == "bash" and not block.why]
    script = "\n".join(shlex.join(runnable(words, tmp_path)) for block in shown for words in block.commands)
    assert script.count("torchrun") == 2
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "teacher:\n  name: r3d_10_w16.pcl-vcp_mine-s1" in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 1_000_000
