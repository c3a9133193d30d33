"""A run that is made again from its entry alone, and what an entry says of how its run was started."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine import provenance
from kdvideo.engine.launch import RunResult, train
from kdvideo.engine.provenance import checkout_commit, start_of, started_by
from kdvideo.engine.repeat import read_recipe, use_recorded_threads
from kdvideo.engine.run_folder import RunFolder
from kdvideo.version import __version__
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo

NAME = "r3d_10_w4.pcl-vcp_tiny-s1"
REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


@pytest.fixture(scope="module")
def made(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run of one epoch with an own key here and there, published."""
    folder = tmp_path_factory.mktemp("made")
    overrides = [
        *("DATA.ROOT", str(tiny_dataset), "OUTPUT_DIR", str(folder / "run"), "ZOO.DIR", str(folder / "zoo")),
        *("MODEL.WIDTH", "4", "CLIP.LENGTH", "4", "CLIP.SIZE", "32", "DATA.SHORT_SIDE", "36", "DATA.NUM_WORKERS", "0"),
        *("PRETEXT.INTERVAL", "2", "SOLVER.EPOCHS", "1", "SOLVER.BATCH_SIZE", "6", "EVAL.CLIPS_PER_VIDEO", "1"),
        *("EVAL.TUPLES_PER_VIDEO", "5", "EVAL.FINAL_CLIPS_PER_VIDEO", "1", "SEED", "7", "ZOO.PUBLISH_AS", NAME),
    ]
    token = started_by.set(["kdvideo", "train", *overrides])
    try:
        return train(load_config(None, overrides))
    finally:
        started_by.reset(token)


@pytest.fixture(scope="module")
def entry_file(made: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry alone, away from its zoo and its run."""
    file = tmp_path_factory.mktemp("alone") / f"{NAME}.json"
    shutil.copyfile(made.output_dir.parent / "zoo" / "entries" / f"{NAME}.json", file)
    return file


@pytest.mark.slow
def test_a_run_repeated_from_its_entry_has_the_same_weights(made: RunResult, entry_file: Path, tmp_path: Path):
    """In another process, which has only the entry; it takes the number of threads from it."""
    command = [sys.executable, "-m", "kdvideo.cli", "train", "--from", str(entry_file)]
    places = ["OUTPUT_DIR", str(tmp_path / "again"), "ZOO.DIR", str(tmp_path / "zoo"), "ZOO.PUBLISH_AS", "again.tiny"]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*command, *places], env={**environment, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bits may differ" not in done.stderr or checkout_commit().endswith("committed")
    again = Zoo(tmp_path / "zoo").entry("again.tiny")
    assert made.entry is not None
    assert again is not None
    assert again.sha256 == made.entry.sha256
    assert again.started is not None
    assert again.started["command"].startswith(f"kdvideo train --from {entry_file} OUTPUT_DIR ")
    assert again.started["threads"] == torch.get_num_threads()


def test_what_an_entry_says_of_the_start(made: RunResult, entry_file: Path):
    """Threads, processes, versions, commit and the user's command; it is read back, and shown."""
    assert made.entry is not None
    started = ZooEntry.from_json(entry_file.read_text(), origin="here").started
    assert started == made.entry.started == start_of(RunFolder(made.output_dir))
    assert started is not None
    assert started["command"].startswith("kdvideo train DATA.ROOT ")
    assert (started["ranks"], started["threads"], started["device"]) == (1, torch.get_num_threads(), "cpu")
    assert (started["kdvideo"], started["torch"]) == (__version__, torch.__version__)
    assert started["git"] == checkout_commit()


def test_the_config_is_printed_as_a_file(
    made: RunResult, entry_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """It loads, has the run's values but no place of it, and says in comments how the run was started."""
    assert main(["zoo", "show", str(entry_file), "--config"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"# name: {NAME}\n# command: kdvideo train DATA.ROOT ")
    assert yaml.safe_load(text)["SEED"] == 7
    (tmp_path / "run.yaml").write_text(text)
    cfg = load_config(tmp_path / "run.yaml")
    assert (cfg.MODEL.WIDTH, cfg.DATA.NUM_WORKERS) == (4, 0)
    assert (f"output/{NAME}", "", "") == (cfg.OUTPUT_DIR, cfg.ZOO.DIR, cfg.ZOO.PUBLISH_AS)


def test_sources_of_a_recipe(made: RunResult, entry_file: Path, monkeypatch: pytest.MonkeyPatch):
    """A name in a zoo, an entry's file and a run's folder say the same."""
    zoo = Zoo(made.output_dir.parent / "zoo")
    recipes = [read_recipe(NAME, zoo=zoo), read_recipe(f"kdvideo://{NAME}", zoo=zoo), read_recipe(str(entry_file))]
    run = read_recipe(str(made.output_dir))
    assert all(recipe == recipes[0] for recipe in recipes)
    assert run.started == recipes[0].started
    assert {**run.cfg, "OUTPUT_DIR": ""} == {**recipes[0].cfg, "OUTPUT_DIR": ""}
    monkeypatch.chdir(made.output_dir.parent)
    assert read_recipe("run") == run


def test_what_may_change_the_last_bits_is_said(entry_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """One line for all of it; an entry that does not say how its run was started is said to."""
    recipe = read_recipe(str(entry_file))
    assert recipe.started is not None
    others = replace(recipe, started={**recipe.started, "torch": "1.0", "ranks": 4, "git": "abc, with changes"})
    assert others.differences() == [
        f"git abc, with changes, here {checkout_commit() or 'unknown'}",
        f"torch 1.0, here {torch.__version__}",
        "ranks 4, here 1",
        "it was made with changes of kdvideo's files that no commit has",
    ]
    told = f"{SHIPPED} does not say with which threads, processes and versions it was made"
    assert read_recipe(SHIPPED).differences() == [told]
    assert main(["train", "--from", SHIPPED, "DATA.ROOT", str(tmp_path / "none"), "OUTPUT_DIR", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"kdvideo: the last bits may differ: {told}\n" in error
    assert "DATA.ROOT" in error.splitlines()[-1]
    assert main(["zoo", "show", SHIPPED]) == 0
    assert "started: not recorded" in capsys.readouterr().out


def test_an_entry_writes_nothing_to_the_terminal_but_text(entry_file: Path, tmp_path: Path, capsys):
    """Its escape sequences are visible ones."""
    values = json.loads(entry_file.read_text())
    values["started"]["device"] = "\x1b[2Jgone"
    (tmp_path / "e.json").write_text(json.dumps(values))
    own = ["DATA.ROOT", str(tmp_path / "none"), "OUTPUT_DIR", str(tmp_path / "run")]
    assert main(["train", "--from", str(tmp_path / "e.json"), *own]) == 2
    error = capsys.readouterr().err
    assert "device \\x1b[2Jgone, here " in error
    assert "\x1b" not in error


def test_threads_are_the_users_if_he_says_so(entry_file: Path, monkeypatch: pytest.MonkeyPatch):
    """Otherwise they are the run's."""
    recipe = read_recipe(str(entry_file))
    assert recipe.started is not None
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", str(before))
        use_recorded_threads(replace(recipe, started={**recipe.started, "threads": before + 1}))
        assert torch.get_num_threads() == before
        monkeypatch.delenv("OMP_NUM_THREADS")
        use_recorded_threads(replace(recipe, started={**recipe.started, "threads": before + 1}))
        assert torch.get_num_threads() == before + 1
        with pytest.raises(ValueError, match=f"{NAME} says that it was made with 99999 threads; more than"):
            use_recorded_threads(replace(recipe, started={**recipe.started, "threads": 99999}))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--from", "r3d_18.torchvision_k400"], "r3d_18.torchvision_k400 has no config: torchvision"),
        (["train", "--from", "out/nothing"], "is no zoo name, no entry's NAME.json and no run's folder"),
        (["train", "--from", "nowhere_x-s1"], "nowhere_x-s1"),
        (["train", "--from", SHIPPED, "--config-file", "x.yaml"], "--from goes without --config-file and --submit"),
        (["train", "--from", SHIPPED, "SOLVER.EPOCH", "1"], "did you mean SOLVER.EPOCHS"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    """One line each."""
    assert main(arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_an_old_run_says_nothing_of_its_start(tmp_path: Path):
    """Neither one without the file nor one of a version that did not record all of it."""
    folder = RunFolder(tmp_path)
    assert start_of(folder) is None
    folder.write_environment({"command": ["kdvideo", "train"], "torch_threads": 1, "kdvideo": "0.1.0", "torch": "2.9"})
    assert start_of(folder) is None


def test_commits_are_those_of_kdvideos_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Changed files are said; without git, and where kdvideo is installed, there is none."""
    git = {"rev-parse": "c" * 40, "status": " M kdvideo/x.py"}
    monkeypatch.setattr(provenance, "_git", lambda root, *arguments: git[arguments[0]])
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "kdvideo" / "engine" / "provenance.py"))
    ask = checkout_commit.__wrapped__
    assert ask() == ""
    (tmp_path / ".git").touch()
    assert ask() == f"{'c' * 40}, with changes that are not committed"
    git["status"] = ""
    assert ask() == "c" * 40
    git["rev-parse"] = ""
    assert ask() == ""
