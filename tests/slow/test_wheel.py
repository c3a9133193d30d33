"""The built wheel in an environment of its own, outside the checkout."""

from pathlib import Path

import pytest
from installed import Installation

pytestmark = pytest.mark.slow


def test_the_wheel_works_alone(installation: Installation, tmp_path: Path):
    """No warning at import, every entry is listed and builds, a config trains by its name, the shipped weights load."""
    installation.pip("install", "--quiet", f"{installation.wheel}[train]")
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
        "print(zoo_root())\n"
    )
    listed = installation.run("python", "-W", "error::FutureWarning", "-c", script, cwd=tmp_path)
    assert listed.stderr == ""
    assert "site-packages" in listed.stdout
    assert "\ndemo/student " in installation.run("kdvideo", "configs", cwd=tmp_path).stdout
    train = ["train", "--config-file", "demo/student", "DATA.ROOT", "data", "OUTPUT_DIR", "run", "SOLVER.EPOCHS", "1"]
    installation.run("kdvideo", *train, "ZOO.PUBLISH_AS", "from.wheel", cwd=tmp_path)
    shown = installation.run("kdvideo", "zoo", "list", "from*", cwd=tmp_path)
    assert shown.stdout.splitlines()[1].split()[:3] == ["from.wheel", "published", "verified"]
