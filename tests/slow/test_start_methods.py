"""Scripts that start processes from their top, where Python does not fork (Python 3.14, macOS, Windows)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import simplejson
from odd_machine import REPOSITORY
from scripts import run_script

pytestmark = pytest.mark.slow

OPTIONS = """
options = {
    "MODEL": {"WIDTH": 4}, "CLIP": {"LENGTH": 8, "SIZE": 32}, "PRETEXT": {"INTERVAL": 2, "NAME": OF_NAME},
    "DATA": {"SHORT_SIDE": 36, "NUM_WORKERS": NUMBER}, "SOLVER": {"EPOCHS": 1, "BATCH_SIZE": 6},
    "EVAL": {"TUPLES_PER_VIDEO": 5, "PERIOD": 9},
}
"""
HEAD = """
import multiprocessing
print("runs", flush=True)
multiprocessing.set_start_method(METHOD, force=True)
import kdvideo
from kdvideo.data import VCP
from kdvideo.registry import PRETEXTS
"""
OWN = """
@PRETEXTS.register_as("of_the_script")
class OfTheScript(VCP):
    pass
"""
CALL = 'kdvideo.pretrain(model="r3d_10", data=VIDEOS, out="run", **options)\n'
GUARD = 'if __name__ == "__main__":\n    '


def run(folder: Path, text: str, **values: object) -> subprocess.CompletedProcess[str]:
    """The script with its values; how often it ran is how often it has printed."""
    for name, value in values.items():
        text = text.replace(name, repr(value))
    return run_script(folder, text)


def train_from_the_top(folder: Path, *, method: str, workers: int, videos: Path) -> float:
    """Runs a script without a guard, and returns its loss."""
    values = {"METHOD": method, "OF_NAME": "vcp", "NUMBER": workers, "VIDEOS": str(videos)}
    done = run(folder, HEAD + OPTIONS + CALL, **values)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs\n"
    loss: float = simplejson.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    return loss


@pytest.fixture(scope="module")
def forked_loss(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The loss of a script whose workers are forked."""
    return train_from_the_top(tmp_path_factory.mktemp("fork"), method="fork", workers=2, videos=tiny_dataset)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_script_without_a_main_guard(
    method: str, workers: int, tiny_dataset: Path, forked_loss: float, tmp_path: Path
):
    """It is run once, and gives the numbers of a script that forks."""
    assert train_from_the_top(tmp_path, method=method, workers=workers, videos=tiny_dataset) == forked_loss


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_dataset_with_a_part_of_the_script(method: str, tiny_dataset: Path, tmp_path: Path):
    """The workers need the script then: with a guard it trains, without one it ends and says so."""
    values = {"METHOD": method, "OF_NAME": "of_the_script", "NUMBER": 1, "VIDEOS": str(tiny_dataset)}
    text = HEAD + OWN + OPTIONS
    done = run(tmp_path, text + CALL, **values)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith('put what the script calls under `if __name__ == "__main__":`')
    assert done.stderr.count("Traceback") == 1  # the script's own
    (tmp_path / "guarded").mkdir()
    done = run(tmp_path / "guarded", text + GUARD + CALL, **values)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_the_page_s_own_script(method: str, tiny_dataset: Path, tmp_path: Path):
    """docs/using.md trains from the top of a script, beside a video."""
    shutil.copy(next(tiny_dataset.rglob("*.avi")), tmp_path / "video.mp4")
    page = (REPOSITORY / "docs" / "using.md").read_text()
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "kdvideo.distill(" in block)
    done = run(tmp_path, f"import multiprocessing\nmultiprocessing.set_start_method({method!r})\n{block}")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == block.count("print(")  # of one run
