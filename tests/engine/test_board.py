"""TensorBoard's files: settings and numbers, and a run that does without them where TensorBoard does not import."""

import sys
from pathlib import Path

import pytest

from kdvideo.config import get_defaults
from kdvideo.engine.board import write_final
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


def test_settings_and_the_final_metrics_are_hparams(tmp_path: Path):
    """TensorBoard itself finds the setting that differs among runs, and the metrics of the final line."""
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, SESSION_END_INFO_TAG, SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder, cfg = RunFolder(tmp_path), get_defaults()
    cfg.SOLVER.BASE_LR, cfg.OUTPUT_DIR = 0.25, "elsewhere"
    folder.write_config(cfg)
    writer = MetricsWriter(folder, first_epoch=0)
    writer.after_epoch(None, {"epoch": 1, "loss": 2.0})  # type: ignore[arg-type]
    writer.close()
    write_final(folder, {"epoch": 1, "final": True, "loss": 1.0, "knn_10clip": 0.5})
    events = [event for path in sorted(folder.board.iterdir()) for event in EventFileLoader(str(path)).Load()]
    values = {value.tag: value for event in events for value in event.summary.value}
    assert {"loss", "knn_10clip", SESSION_END_INFO_TAG} <= values.keys()
    assert EXPERIMENT_TAG not in values  # it would hold one run's columns for all
    assert values["loss"].tensor.float_val[0] == 2.0  # the epoch's stays
    content = values[SESSION_START_INFO_TAG].metadata.plugin_data.content
    start = HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["SOLVER.BASE_LR"].number_value == 0.25
    assert start.hparams["TEACHER.LOSSES"].string_value.startswith("[")
    assert "OUTPUT_DIR" not in start.hparams


def test_without_a_board_the_end_writes_none(tmp_path: Path):
    """As where TensorBoard is not installed."""
    write_final(RunFolder(tmp_path), {"epoch": 1, "final": True})
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_ends_where_tensorboard_does_not_import_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its folder is there from before; the result must not be lost."""
    (tmp_path / BOARD_NAME).mkdir()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level("WARNING"):
        write_final(RunFolder(tmp_path), {"epoch": 1, "final": True, "knn_10clip": 0.5})
    assert "no files for TensorBoard" in caplog.text
