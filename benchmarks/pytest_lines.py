"""A pytest plugin that writes a JSON line as soon as a test has ended: what a time limit cuts off is not lost.

PYTHONPATH=.:benchmarks KDVIDEO_TEST_LINES=FILE python -m pytest -p pytest_lines ...
"""

import os
from pathlib import Path

import pytest
from json_lines import write_line


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Writes what a test's call gave, and what went wrong before or after it."""
    if "PYTEST_XDIST_WORKER" in os.environ or (report.when != "call" and report.outcome == "passed"):
        return
    line = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 2)}
    if report.outcome == "failed":
        line |= {"when": report.when, "why": report.longreprtext[-3000:]}
    elif report.outcome == "skipped":
        line["why"] = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)[:300]
    write_line(Path(os.environ["KDVIDEO_TEST_LINES"]), line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Writes that all have ended."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        write_line(Path(os.environ["KDVIDEO_TEST_LINES"]), {"exit": int(exitstatus)})
