"""The trackers of docs/own_parts.md, with the real packages where they are installed."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdvideo.config import get_defaults
from kdvideo.engine.run_folder import RunFolder
from kdvideo.registry import HOOKS

pytestmark = pytest.mark.usefixtures("new_process")  # which forgets the hooks' names
PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_parts.md"


def track(name: str, folder: Path) -> None:
    """Runs the page's hook over two epochs."""
    code = re.search(r'title="trackers.py"\n(.*?)```', PAGE.read_text("utf-8"), re.DOTALL)
    assert code is not None
    exec(compile(code[1], "trackers.py", "exec"), {"__name__": "trackers"})
    hook = HOOKS.get(name)(get_defaults(), folder=RunFolder(folder))
    for step in (2, 4):
        hook.after_epoch(SimpleNamespace(step=step), {"epoch": step // 2, "loss": 1 / step})
    hook.close()


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its store of files has the last loss, and the run is finished."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/mlruns")
    track("mlflow", tmp_path)
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 0.25)


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Offline, it writes one file into the run's folder."""
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    track("wandb", tmp_path)
    assert len(list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))) == 1
