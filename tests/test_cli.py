"""The command line: what it prints, and that both launchers are one."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.paths import zoo_root
from kdvideo.zoo.render import catalogue_path, render_catalogue
from kdvideo.zoo.sources import list_entries

REPOSITORY = Path(__file__).resolve().parent.parent


def test_zoo_list(capsys: pytest.CaptureFixture):
    """Architectures and entries that match."""
    assert main(["zoo", "list", "r3d_1?"]) == 0
    assert capsys.readouterr().out == "r3d_10\nr3d_18\n"


def test_zoo_render(tmp_path: Path, capsys: pytest.CaptureFixture):
    """An empty zoo has a table without rows; any other folder is refused and stays as it is."""
    assert main(["zoo", "render", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"kdvideo: error: {tmp_path} is no zoo: it has no folder entries/\n"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "entries").mkdir()
    assert main(["zoo", "render", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'MODEL_ZOO.md'}\n"
    assert (tmp_path / "MODEL_ZOO.md").read_text() == render_catalogue([])


def test_shipped_catalogue_is_up_to_date():
    """MODEL_ZOO.md is what `kdvideo zoo render model_zoo` writes."""
    assert catalogue_path(zoo_root()).read_text() == render_catalogue(list_entries(zoo_root()))


@pytest.mark.parametrize("command", [["tools/train_net.py"], ["-m", "kdvideo.cli", "train"]])
def test_both_launchers(command: list[str]):
    """One line and exit code 2 for a mistake, no traceback."""
    done = subprocess.run(
        [sys.executable, *command, "SOLVER.EPOCHS", "x"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "kdvideo: error: SOLVER.EPOCHS is 'x' of type str; it must be of type int\n"
    assert done.stdout == ""


def test_import_is_quiet_and_light():
    """`import kdvideo` loads nothing of torch, prints nothing and has its public names."""
    script = (
        "import sys, kdvideo\n"
        "assert 'torch' not in sys.modules\n"
        "assert all(hasattr(kdvideo, name) for name in kdvideo.__all__)\n"
        "assert not hasattr(kdvideo, 'no_such_name')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
