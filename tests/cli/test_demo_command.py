"""`kdvideo demo`."""

import os
from pathlib import Path

import pytest

from kdvideo.cli import main
from kdvideo.engine.stop import Preempted


def test_a_stopped_demo_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    def stopped(output: Path, *, seed: int, stopping: object) -> None:
        raise Preempted("stopped after step 3, 3 of epoch 1")

    monkeypatch.setattr("kdvideo.study.demo.run_demo", stopped)
    assert main(["demo", "--output", str(tmp_path)]) == os.EX_TEMPFAIL
    assert capsys.readouterr().err == (
        "kdvideo: the demo was stopped after step 3, 3 of epoch 1; it begins anew when it is started again\n"
    )
