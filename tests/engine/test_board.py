"""TensorBoard's files are an addition: a run does without them where TensorBoard does not import."""

import sys
from pathlib import Path

import pytest

from kdvideo.engine.hooks import MetricsWriter
from kdvideo.engine.run_folder import BOARD_NAME, METRICS_NAME, RunFolder


def test_metrics_without_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The line is written; one warning says what to do."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level("WARNING"):
        writer = MetricsWriter(RunFolder(tmp_path), first_epoch=0)
        writer.after_epoch(None, {"epoch": 1, "loss": 2.0})  # type: ignore[arg-type]
        writer.close()
    assert "pip install --upgrade tensorboard protobuf" in caplog.text
    assert len(caplog.records) == 1
    assert '"loss": 2.0' in (tmp_path / METRICS_NAME).read_text()
    assert not (tmp_path / BOARD_NAME).exists()
