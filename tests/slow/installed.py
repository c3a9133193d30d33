"""An environment outside the checkout with the built wheel."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Installation"]


@dataclass(frozen=True)
class Installation:
    """An environment outside the checkout, in which `pip install kdvideo.whl` was run."""

    folder: Path
    wheel: Path

    def run(self, program: str, *arguments: str | Path, cwd: Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one of the environment's programs without a network and without a way to the checkout."""
        environment = {**os.environ, "KDVIDEO_HOME": str(cwd / "home"), "KDVIDEO_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        command = [self.folder / "bin" / program, *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, check=ok, capture_output=True, text=True)

    def pip(self, *arguments: str) -> None:
        """Runs the environment's pip."""
        subprocess.run([self.folder / "bin" / "pip", *arguments], check=True, capture_output=True)

    def take_away(self, distributions: Sequence[str]) -> None:
        """Uninstalls what another test may have added."""
        self.pip("uninstall", "--yes", *distributions)
