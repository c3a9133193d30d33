"""A container as docker makes it: 64 MB of shared memory, a user without name and home, a disk that is read-only."""

import sys
from pathlib import Path

import pytest
from odd_machine import NOBODY, open_folder, run_in

pytestmark = pytest.mark.slow

SMALL_DEMO = """
import functools, sys
from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.study import demo

def load_small(path):
    cfg = load_config(path)
    cfg.SOLVER.EPOCHS, cfg.SOLVER.BATCH_SIZE = 1, 6
    return cfg

demo.load_config = load_small
demo.SyntheticConfig = functools.partial(demo.SyntheticConfig, train_groups=2, test_groups=1, clips_per_group=1)
sys.exit(main(["demo", "--output", "demo"]))
"""


@pytest.mark.parametrize("environment", [{}, {"HOME": "/"}, {"HOME": "/root", "KDVIDEO_HOME": ""}])
def test_the_demo_ends_well(environment: dict[str, str]):
    """With one core and without any locale; what it makes is all there."""
    with open_folder() as folder:
        done = run_in(
            folder,
            ["taskset", "--cpu-list", "0", sys.executable, "-c", SMALL_DEMO],
            environment={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONDONTWRITEBYTECODE": "1", **environment},
            shared_memory="64m",
            user=NOBODY,
            read_only=True,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout.count("\n| ") == 5  # the table's head and four runs
        made = {path.name for path in Path(folder, "demo").iterdir()}
    assert {"curves.png", "table.md", "zoo", "runs", "data"} <= made
