"""An environment of its own with the built wheel: several tests share it, it takes minutes and 7 GB."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installed import Installation

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel of this checkout, installed without extras."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # not the checkout itself: a build leaves its traces there
    shutil.copytree(
        REPOSITORY, source, ignore=shutil.ignore_patterns(".venv*", ".git", "output", "build", "*.egg-info")
    )
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("kdvideo-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    made = Installation(folder / "venv", wheel)
    made.pip("install", "--quiet", str(wheel))
    return made
