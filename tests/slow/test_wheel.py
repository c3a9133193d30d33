"""The built wheel in an environment of its own, outside the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_wheel_works_alone(tmp_path: Path):
    """No warning at import, every entry is listed and builds, a shipped config trains, the shipped weights load."""
    source = tmp_path / "source"  # not the checkout itself: a build leaves its traces there
    shutil.copytree(
        REPOSITORY, source, ignore=shutil.ignore_patterns(".venv*", ".git", "output", "build", "*.egg-info")
    )
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("kdvideo-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin_dir = tmp_path / "venv" / "bin"
    subprocess.run([bin_dir / "pip", "install", "--quiet", str(wheel)], check=True)
    script = (
        "import kdvideo, torch\n"
        "from kdvideo.paths import zoo_root\n"
        "from kdvideo.data.datasets.rebuild import find_subset_list, read_subset_list\n"
        "assert len(read_subset_list(find_subset_list('ucf101mini'))) == 208\n"
        "from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101\n"
        "from pathlib import Path\n"
        "from kdvideo.zoo.manage import entry_states\n"
        "names, states = kdvideo.list_models(), entry_states()\n"
        "assert {state.entry.name for state in states} == {name for name in names if '.' in name}, names\n"
        "shipped = {state.entry.name for state in states if state.weights == 'shipped'}\n"
        "assert shipped and len(states) > len(shipped)\n"
        "for name in names:\n"
        "    kdvideo.create_model(name, pretrained=name in shipped)\n"
        "config = SyntheticConfig(train_groups=3, test_groups=1, clips_per_group=1)\n"
        "write_synthetic_ucf101(Path('data'), config)\n"
        "print(zoo_root() / 'configs' / 'demo' / 'student.yaml')\n"
    )
    environment = {**os.environ, "KDVIDEO_HOME": str(tmp_path / "home"), "KDVIDEO_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)  # it may lead to the checkout
    options = {"cwd": tmp_path, "env": environment, "check": True, "capture_output": True, "text": True}
    listed = subprocess.run([bin_dir / "python", "-W", "error::FutureWarning", "-c", script], **options)
    assert listed.stderr == ""
    config_file = listed.stdout.strip()
    assert "site-packages" in config_file
    train = ["train", "--config-file", config_file, "DATA.ROOT", "data", "OUTPUT_DIR", "run", "SOLVER.EPOCHS", "1"]
    subprocess.run([bin_dir / "kdvideo", *train, "ZOO.PUBLISH_AS", "from.wheel"], **options)
    shown = subprocess.run([bin_dir / "kdvideo", "zoo", "list", "from*"], **options)
    assert shown.stdout.splitlines()[1].split()[:3] == ["from.wheel", "published", "verified"]
