"""The log of a run, which outlives the run within its process."""

import logging
import logging.config
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdvideo.engine.environment import set_up_logging

LOGGER = logging.getLogger("kdvideo")


@pytest.fixture(autouse=True)
def _keep_logger() -> Iterator[None]:
    """The logger is as it was for the next test."""
    before = LOGGER.propagate, LOGGER.level
    yield
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()
    LOGGER.propagate, LOGGER.level = before


@pytest.mark.parametrize("folder_goes", [False, True])
def test_a_log_that_another_library_has_closed(folder_goes: bool, tmp_path: Path, capfd: pytest.CaptureFixture):
    """Setting up one's own log closes all handlers; Python opens the file again, if its folder is still there."""
    folder = tmp_path / "run"
    folder.mkdir()
    set_up_logging(folder)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    if folder_goes:
        shutil.rmtree(folder)
    LOGGER.info("of the next command")
    assert "of the next command" in capfd.readouterr().err
    assert folder_goes or "of the next command" in (folder / "log.txt").read_text(encoding="utf-8")
