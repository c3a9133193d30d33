"""A KDVIDEO_HOME whose files belong to another user."""

import os
import shutil
from pathlib import Path

import pytest
from odd_machine import COMMAND, NOBODY, open_folder, run_in

pytestmark = pytest.mark.slow

MODEL = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def test_a_home_of_somebody_else(tiny_dataset: Path, tiny_overrides: list[str]):
    """The second user's training goes on without what the first one's remembers; a replay store is one line."""
    with open_folder() as folder:
        data, home = folder / "data", folder / "home"
        shutil.copytree(tiny_dataset, data)
        data.chmod(0o755)
        common = [*tiny_overrides, "DATA.ROOT", str(data), "SOLVER.EPOCHS", "1", "ZOO.DIR", "", "OUTPUT_DIR"]
        first = run_in(folder, [*COMMAND, "train", *common, "first"], environment={"KDVIDEO_HOME": str(home)})
        assert first.returncode == 0, first.stderr
        (memory,) = (home / "manifests").iterdir()
        known = memory.read_text()
        memory.write_text("")  # nothing is known, and nothing can be written
        second = run_in(
            folder, [*COMMAND, "train", *common, "second"], environment={"KDVIDEO_HOME": str(home)}, user=NOBODY
        )
        assert second.returncode == 0, second.stderr
        assert second.stderr.count("cannot be kept for the next run") == 1
        assert f"{memory} belongs to somebody else" in second.stderr
        assert memory.read_text() == ""
        memory.write_text(known)
        os.chmod(memory, 0o600)
        third = run_in(
            folder, [*COMMAND, "train", *common, "third"], environment={"KDVIDEO_HOME": str(home)}, user=NOBODY
        )
        assert third.returncode == 0, third.stderr
        replay = [*common, "fourth", "TASK.NAME", "distill", "TEACHER.WEIGHTS", MODEL, "TEACHER.REPLAY", "True"]
        fourth = run_in(folder, [*COMMAND, "train", *replay], environment={"KDVIDEO_HOME": str(home)}, user=NOBODY)
        assert fourth.returncode == 2
        last = fourth.stderr.splitlines()[-1]
        assert last.startswith("kdvideo: error: a replay store of ")
        assert last.endswith(
            "(Permission denied): make room, set KDVIDEO_HOME to another disk or turn TEACHER.REPLAY off"
        )
