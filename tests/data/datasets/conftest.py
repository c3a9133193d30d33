"""What tests of datasets share: a log that they can read."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _log_reaches_caplog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `caplog` see kdvideo's log, which goes its own way once a command has run."""
    monkeypatch.setattr(logging.getLogger("kdvideo"), "propagate", True)
