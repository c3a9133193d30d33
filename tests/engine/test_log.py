"""The log of a run, whatever other libraries do to Python's logging meanwhile."""

import logging
import logging.config
import shutil
from pathlib import Path

import pytest

from kdvideo.engine.log import log_to

LOGGER = logging.getLogger("kdvideo")


@pytest.mark.parametrize("folder_goes", [False, True])
def test_a_log_that_another_library_has_closed(folder_goes: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Setting up one's own log closes all handlers; Python opens the file again, if its folder is still there."""
    folder = tmp_path / "run"
    folder.mkdir()
    with log_to(folder / "log.txt"):
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        if folder_goes:
            shutil.rmtree(folder)
        LOGGER.warning("of the next command")
    assert "of the next command" in caplog.text
    assert folder_goes or "of the next command" in (folder / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_a_log_changes_no_other(level: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The file gets INFO and above whatever is shown elsewhere, and what is shown elsewhere stays."""
    names = ["DEBUG", "INFO", "WARNING", "ERROR"]
    with caplog.at_level(level, "kdvideo"):
        with log_to(tmp_path / "log.txt"):
            for name in names:
                LOGGER.log(logging.getLevelName(name), "at %s", name)
        assert LOGGER.level == logging.getLevelName(level)
    assert [record.levelname for record in caplog.records] == names[names.index(level) :]
    written = [line.split()[-1] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert written == (names if level == "DEBUG" else names[1:])
    LOGGER.error("later")
    assert "later" not in (tmp_path / "log.txt").read_text()
