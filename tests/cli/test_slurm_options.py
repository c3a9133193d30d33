"""`kdvideo train --submit slurm` where there is no Slurm: what it would ask for, and mistakes in one line.

With a real Slurm: tests/slow/test_slurm.py.
"""

import argparse
from pathlib import Path

import pytest

from kdvideo.cli import main, slurm


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    slurm.add_arguments(parser)
    return parser.parse_args(["--submit", "slurm", *arguments])


def test_parameters_of_a_job():
    """Hours and minutes become minutes, a short job is warned in its last quarter, sbatch's own options go through."""
    asked = slurm._parameters(parse("--nodes", "4", "--tasks-per-node", "8", "--gpus-per-node", "8", "--time", "24:00"))
    expected = {"nodes": 4, "ntasks_per_node": 8, "gpus_per_node": 8, "time": 1440, "signal_delay_s": 120}
    assert expected.items() <= asked.items()
    assert "partition" not in asked
    short = slurm._parameters(parse("--time", "0:04", "--partition", "gpu", "--sbatch", "qos=long"))
    assert (short["time"], short["signal_delay_s"], short["partition"]) == (4, 60, "gpu")
    assert "gpus_per_node" not in short
    assert short["additional_parameters"] == {"requeue": True, "qos": "long"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "90"], "'90' must be hours and minutes, H:MM, e.g. 24:00 for a day"),
        (["--time", "1:75"], "'1:75' must be hours and minutes"),
        (["--time", "0:00"], "'0:00' must be hours and minutes"),
        (["--nodes", "0"], "'0' must be an integer of at least 1"),
    ],
)
def test_options_that_cannot_be(arguments: list[str], message: str, capsys):
    """The value and what is allowed."""
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err


def test_a_machine_without_slurm(tiny_overrides: list[str], tmp_path: Path, capsys, monkeypatch):
    """One line, whatever is missing; a wrong config comes first."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["train", "--submit", "slurm", "--tasks-per-node", "4", *tiny_overrides]) == 2
    assert "SOLVER.BATCH_SIZE is 6; it must be a multiple of the 4 tasks" in capsys.readouterr().err
    assert main(["train", "--submit", "slurm", *tiny_overrides]) == 2
    message = capsys.readouterr().err
    assert message.startswith("kdvideo: error: --submit slurm: Could not detect")
    assert message.count("\n") == 1
