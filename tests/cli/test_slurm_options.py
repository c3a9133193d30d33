"""`kdvideo train --submit slurm` where there is no Slurm: what it would ask for, and mistakes in one line.

With a real Slurm: tests/slow/test_slurm.py.
"""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kdvideo.cli import main, slurm
from kdvideo.paths import SHIPPED_MODEL

SUBMIT = ["train", "--submit", "slurm"]


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    slurm.add_arguments(parser)
    return parser.parse_args(["--submit", "slurm", *arguments])


def flags(script: str) -> dict[str, str]:
    """sbatch's options in a script."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script, flags=re.MULTILINE))


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """What a submission says that is refused in one line."""
    assert main([*SUBMIT, "--dry-run", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err.removeprefix("kdvideo: error: ")


def test_parameters_of_a_job(tmp_path: Path):
    """Hours and minutes become minutes, a short job is warned in its last quarter, sbatch's own options go through."""
    options = parse("--nodes", "4", "--tasks-per-node", "8", "--gpus-per-node", "8", "--time", "24:00")
    asked = flags(slurm.Job(["train"], options, output_dir=tmp_path).script)
    expected = {"nodes": "4", "ntasks-per-node": "8", "gpus-per-node": "8", "time": "1440", "signal": "USR2@120"}
    assert {**expected, "requeue": "", "output": f"{tmp_path}/slurm/%j_0_log.out"}.items() <= asked.items()
    assert "partition" not in asked
    options = parse("--time", "0:04", "--partition", "gpu", "--sbatch", "qos=long", "--sbatch", "comment=a b")
    short = flags(slurm.Job(["train"], options, output_dir=tmp_path).script)
    expected = {"time": "4", "signal": "USR2@60", "partition": "gpu", "qos": "long", "comment": "'a b'"}
    assert expected.items() <= short.items()
    assert "gpus-per-node" not in short


def test_a_dry_run_prints_the_script(tiny_overrides: list[str], tmp_path: Path, capsys, monkeypatch):
    """Without Slurm; bash reads it, and its command is the one that was given, from any folder."""
    monkeypatch.chdir(tmp_path)
    Path("a b.yaml").write_text("SEED: 5\n")
    command = ["--config-file", "a b.yaml", "--resume", *tiny_overrides]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    assert main([*SUBMIT, "--dry-run", "--tasks-per-node", "2", *command]) == 0
    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.startswith("#!/bin/bash\n#SBATCH --")
    words = shlex.split(script.strip().splitlines()[-1])
    assert words[0] == "srun"
    assert f"{tmp_path}/run/slurm/%j_%t_log.out" in words
    given = words[words.index(sys.executable) :]
    expected = ["train", "--config-file", str(tmp_path / "a b.yaml"), "--resume", *tiny_overrides]
    assert given == [sys.executable, "-u", "-m", "kdvideo.cli.slurm_rank", *expected]
    assert not (tmp_path / "run" / "slurm").exists()


def test_a_job_for_each_config(tiny_overrides: list[str], tmp_path: Path, capsys, monkeypatch):
    """With a folder each in OUTPUT_DIR, if the configs do not name different ones; an entry is nobody's twice."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(f"OUTPUT_DIR: out_{name}\nZOO: {{PUBLISH_AS: same.name}}\n")
    both = ["--config-file", "a.yaml", "--config-file", "b.yaml"]
    common = (
        tiny_overrides[: tiny_overrides.index("OUTPUT_DIR")] + tiny_overrides[tiny_overrides.index("OUTPUT_DIR") + 2 :]
    )
    assert "ZOO.PUBLISH_AS is same.name for two of the configs: give each its own" in refused(capsys, *both, *common)
    common += ["ZOO.PUBLISH_AS", ""]
    for given, folders in (([], ("out_a", "out_b")), (["OUTPUT_DIR", "runs"], ("runs/a", "runs/b"))):
        assert main([*SUBMIT, "--dry-run", *both, *common, *given]) == 0
        scripts = capsys.readouterr().out.split("#!/bin/bash")[1:]
        assert [flags(script)["output"] for script in scripts] == [
            f"{tmp_path}/{folder}/slurm/%j_0_log.out" for folder in folders
        ]
        last = [shlex.split(script.strip().splitlines()[-1])[-2:] for script in scripts]
        assert last == ([["OUTPUT_DIR", folder] for folder in folders] if given else [common[-2:]] * 2)
    assert main(["train", *both, *common]) == 2
    assert "several --config-file are for jobs: add --submit slurm" in capsys.readouterr().err


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
    assert main([*SUBMIT, "--tasks-per-node", "4", *tiny_overrides]) == 2
    assert "SOLVER.BATCH_SIZE is 6; it must be a multiple of the 4 tasks" in capsys.readouterr().err
    assert main([*SUBMIT, *tiny_overrides]) == 2
    message = capsys.readouterr().err
    assert message.startswith("kdvideo: error: --submit slurm: there is no sbatch here")
    assert message.count("\n") == 1


def test_data_is_looked_at_before(tiny_overrides: list[str], tiny_dataset: Path, tmp_path: Path, capsys):
    """What the run would say after hours in the queue: folders, lists, files, and too few of them."""
    assert "DATA.ROOT /nonexist is not a folder" in refused(capsys, *tiny_overrides, "DATA.ROOT", "/nonexist")
    assert f"list file {tmp_path}/classInd.txt does not exist" in refused(
        capsys, *tiny_overrides, "DATA.NAME", "ucf101", "DATA.LIST_DIR", str(tmp_path)
    )
    for name in ("trainlist01.txt", "testlist01.txt"):
        (tmp_path / name).write_text("A/v_A_g01_c01.avi 1\nB/v_B_g01_c01.avi 2\n")
    (tmp_path / "classInd.txt").write_text("1 A\n2 B\n")
    lists = ["DATA.NAME", "ucf101", "DATA.LIST_DIR", str(tmp_path)]
    told = refused(capsys, *tiny_overrides, *lists)
    assert "2 of 2 training videos cannot be used, 100.0%, and DATA.MAX_BAD_FRACTION allows" in told
    assert "the first is A/v_A_g01_c01.avi: does not exist" in told
    assert "SOLVER.BATCH_SIZE is 600, but " in refused(capsys, *tiny_overrides, "SOLVER.BATCH_SIZE", "600")
    assert "DATA.MANIFEST" in refused(capsys, *tiny_overrides, "DATA.MANIFEST", "missing.jsonl")
    assert main([*SUBMIT, "--dry-run", "--unchecked", *tiny_overrides, "DATA.ROOT", "/nonexist"]) == 0


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nosuchteacher", "TEACHER.WEIGHTS: unknown zoo entry 'nosuchteacher'"),
        ("./missing.safetensors", "weights ./missing.safetensors: missing.safetensors does not exist"),
        ("https://example.org/weights.bin", "a file must end in"),
        ("https://example.org/weights.pt", "KDVIDEO_OFFLINE forbids to fetch it"),
        ("r3d_10.pcl-vcp_ucf101-s1", "r3d_10.pcl-vcp_ucf101-s1"),
        ("ftp://example.org/weights.pt", "choose a zoo name, a path, or an address"),
        ("R3D_18_Weights.NOTHING", "torchvision has no such weights"),
    ],
)
def test_teachers_are_looked_up_before(teacher: str, message: str, tiny_overrides: list[str], capsys, monkeypatch):
    """Names, files and addresses, without a network; as weights, too."""
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    distill = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", teacher]
    assert message.removeprefix("TEACHER.WEIGHTS: ") in refused(capsys, *tiny_overrides, *distill)
    assert message.removeprefix("TEACHER.WEIGHTS: ") in refused(capsys, *tiny_overrides, "MODEL.WEIGHTS", teacher)


def test_the_zoo_is_tried_before(tiny_overrides: list[str], tmp_path: Path, capsys):
    """A name that is taken, one that cannot be, a folder that cannot be written, and a folder of another run."""
    (tmp_path / "file").touch()
    name = ["ZOO.PUBLISH_AS", "a.b"]
    for own, message in (
        (["ZOO.PUBLISH_AS", SHIPPED_MODEL, "ZOO.DIR", "model_zoo"], f"{SHIPPED_MODEL} is taken in"),
        (["ZOO.PUBLISH_AS", "a b"], "'a b'"),
        ([*name, "ZOO.DIR", str(tmp_path / "file" / "zoo")], "ZOO.DIR"),
        (["OUTPUT_DIR", str(tmp_path / "file" / "run")], "cannot be written"),
        (["--resume"], "does not exist; start the run without --resume"),
    ):
        assert message in refused(capsys, *own[: own == ["--resume"]], *tiny_overrides, *own[own == ["--resume"] :])
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "checkpoint.pt").touch()
    assert "already holds a run (checkpoint.pt)" in refused(capsys, *tiny_overrides)


def test_a_job_may_have_what_this_machine_lacks(tiny_overrides: list[str], capsys):
    """A GPU that the job asks for; its tasks share the batch."""
    amp = [*tiny_overrides, "SOLVER.AMP", "fp16"]
    assert main([*SUBMIT, "--dry-run", "--gpus-per-node", "2", *amp]) == 0
    capsys.readouterr()
    assert "SOLVER.ACCUMULATE is 2; it must part a process' share of SOLVER.BATCH_SIZE, 3" in refused(
        capsys, "--tasks-per-node", "2", *tiny_overrides, "SOLVER.ACCUMULATE", "2"
    )
