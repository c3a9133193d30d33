"""Scripts as users write them, run by a Python of their own that finds what this one finds."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_script"]


def run_script(folder: Path, text: str, *, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    """Writes `script.py` into a folder and runs it there."""
    (folder / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
