"""`--submit slurm --parts N`, without Slurm: the two jobs that it would submit, and mistakes in one line."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from kdvideo.cli import main

JOBS = ["--submit", "slurm", "--dry-run", "--parts"]


def scripts(capsys: pytest.CaptureFixture, *command: str) -> list[str]:
    """The scripts of a dry run."""
    assert main([*command, *JOBS, "3"]) == 0
    return re.split(r"\n(?=#!/bin/bash\n)", capsys.readouterr().out)


def words_of(script: str, **variables: str) -> list[str]:
    """The arguments of kdvideo in a script, as bash gives them to it."""
    line = next(line for line in script.splitlines() if line.startswith("srun ")).removesuffix(" &")
    asked = ["bash", "-c", f'srun() {{ printf "%s\\n" "$@"; }}; {line}']
    told = subprocess.run(asked, env=variables, capture_output=True, text=True, check=True).stdout.splitlines()
    return told[told.index("kdvideo.cli.slurm_rank") + 1 :]


def test_an_array_and_a_job_that_joins(tiny_dataset: Path, tmp_path: Path, capsys, monkeypatch):
    """The same command with a part each, counted from 1, and then without."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "a b.yaml"
    own.write_text("DATA: {NAME: ucf101}\n")
    root = str(tiny_dataset)
    for command, continues in (
        (["data", "check", root], True),
        (["data", "check", root, "--config-file", str(own), "--manifest", "m.jsonl", "SEED", "1"], True),
        (["data", "prepare", root, "proxies", "--short-side", "32"], True),
        (["embed", root, "--out", "x.safetensors", "--clips", "1"], False),
    ):
        parts, joining = scripts(capsys, *command)
        assert "#SBATCH --array=1-3\n" in parts
        assert f"{tmp_path}/slurm/%A_%a_0_log.out" in parts
        assert ("#SBATCH --signal=B:USR2@120\n" in parts) == ("trap" in parts) == continues
        requeue = "trap 'scontrol requeue ${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}' USR2"
        assert (requeue in parts) == continues
        assert "#SBATCH --dependency=afterok:NUMBER_OF_THE_ARRAY\n" in joining
        assert "--signal" not in joining
        given = words_of(joining)
        assert given[:2] == command[:2]
        assert {*command} <= {*given}
        assert words_of(parts, SLURM_ARRAY_TASK_ID="2") == [*given, "--part", "2/3"]
        assert "--submit" not in shlex.join(given)


def test_impossible_parts(tiny_dataset: Path, tmp_path: Path, capsys, monkeypatch):
    """Each in one line, before anything is submitted."""
    monkeypatch.chdir(tmp_path)
    check, embed = ["data", "check", str(tiny_dataset)], ["embed", str(tiny_dataset), "--out", "x.safetensors"]
    for command, message in (
        ([*check, *JOBS, "19"], "--parts is 19; it must be from 1 to the number of videos, 18"),
        ([*check, *JOBS, "0"], "--parts is 0; it must be from 1"),
        ([*check, *JOBS, "3", "--part", "1/3"], "give their number by --parts, and no --part"),
        ([*check, "--submit", "slurm"], "give their number by --parts"),
        ([*check, "--parts", "3"], "--parts and --dry-run are for jobs: add --submit slurm"),
        (["data", "prepare", ".", "x", *JOBS, "3"], "neither folder may lie in the other"),
        ([*embed, "--model", "nosuchmodel", *JOBS, "3"], "unknown zoo entry 'nosuchmodel'"),
        (["embed", str(tmp_path), "--out", "x.safetensors", *JOBS, "3"], "holds no video"),
        (["embed", str(tmp_path), "--out", "x.csv", *JOBS, "3"], "its name must end in .parquet"),
    ):
        assert main(command) == 2, command
        told = capsys.readouterr()
        assert message in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)
