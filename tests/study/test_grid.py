"""GRID of a study's file: which runs it makes, what they are called, and their table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simplejson
import yaml

from kdvideo.cli import main
from kdvideo.config.teachers import with_sampling
from kdvideo.engine.run_folder import FACTS_NAME, RunFolder
from kdvideo.paths import zoo_root
from kdvideo.study.grid import read_grid
from kdvideo.study.page import write_report
from kdvideo.study.plan import build_config, plan_runs
from kdvideo.study.queue import PreparedRun, run_study
from kdvideo.study.read import read_study
from kdvideo.zoo.entry import check_name

BASE = str(zoo_root() / "configs" / "base" / "ucf101mini.yaml")
SWEEP = {
    "BASE": BASE,
    "GRID": {"SOLVER.BASE_LR": [0.01, 0.03], "TEACHER": {"KD_TEMPERATURE": [1, 2.0, 4.0]}},
    "SEEDS": [0],
    "CONFIG": {"TASK": {"NAME": "distill"}, "TEACHER": {"WEIGHTS": "r3d_10_w16.pcl-vcp_ucf101mini-s1"}},
}
STUDY = {
    "BASE": BASE,
    "CONFIG": {"CLIP": {"SIZE": 32}},
    "ARCHITECTURES": ["c3d"],
    "SEEDS": [0, 1],
    "EPOCHS": 3,
    "SETTINGS": {"paper": {"TEACHER_EPOCHS": 3, "CONFIG": {"TEACHER": {"KD_TEMPERATURE": 9.0, "REPLAY": True}}}},
}


def write(folder: Path, values: dict, **changes: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return path


def start(prepared: PreparedRun) -> Callable[[], int]:
    """Leaves what a run leaves. The highest rate is the best."""
    final = {"epoch": 1, "final": True, "pretext_accuracy": 10 * prepared.cfg.SOLVER.BASE_LR}
    (prepared.folder / "config.yaml").write_text(prepared.config_file.read_text())
    (prepared.folder / "metrics.jsonl").write_text(simplejson.dumps(final))
    (prepared.folder / FACTS_NAME).touch()
    return lambda: 0


def test_a_sweep_of_two_by_three_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Six runs with readable names that a zoo entry could have, each as its point says; then one table of them."""
    study = read_study(write(tmp_path, SWEEP))
    runs = plan_runs(study)
    assert [run.name for run in runs[:2]] == [
        "BASE_LR-0.01.KD_TEMPERATURE-1.seed0",
        "BASE_LR-0.01.KD_TEMPERATURE-2.0.seed0",
    ]
    assert [check_name(run.name) for run in runs] == list(dict.fromkeys(run.name for run in runs))
    cfgs = [build_config(study, run) for run in runs]
    points = {(cfg.SOLVER.BASE_LR, cfg.TEACHER.KD_TEMPERATURE) for cfg in cfgs}
    assert points == {(rate, tau) for rate in (0.01, 0.03) for tau in (1.0, 2.0, 4.0)}
    assert {(cfg.TASK.NAME, cfg.SOLVER.EPOCHS, cfg.MODEL.BACKBONE) for cfg in cfgs} == {("distill", 100, "r3d_10")}
    run_study(study, tmp_path / "out", data=tmp_path, start=start, at_once=6, pause=0.0)
    assert main(["runs", str(tmp_path / "out"), "--sort", "pretext_accuracy"]) == 0
    rows = capsys.readouterr().out.splitlines()[-6:]
    assert len(rows) == 6
    assert rows[0].split()[1:] == ["finished", "1", "1", "0.03", "0.300"]
    with pytest.raises(ValueError, match="a sweep has no teachers to compare: `kdvideo runs "):
        write_report(study, tmp_path / "out", tmp_path / "report")


def test_a_sweep_may_say_what_a_study_has_to(tmp_path: Path):
    """Architectures and epochs; what its config says of the schedule and of parts of the list holds."""
    config = {"SOLVER": {"SCHEDULE": "cosine"}, "DATA": {"FRACTION": 0.5}}
    grid = {"SOLVER.WEIGHT_DECAY": ["1e-4"]}
    study = read_study(write(tmp_path, SWEEP, ARCHITECTURES=["c3d", "r3d_10"], EPOCHS=2, CONFIG=config, GRID=grid))
    assert [run.name for run in plan_runs(study)] == ["WEIGHT_DECAY-1e-4.c3d.seed0", "WEIGHT_DECAY-1e-4.r3d_10.seed0"]
    cfg = build_config(study, plan_runs(study)[0])
    assert (cfg.MODEL.BACKBONE, cfg.SOLVER.EPOCHS, cfg.DATA.FRACTION) == ("c3d", 2, 0.5)
    assert (cfg.SOLVER.SCHEDULE, cfg.SOLVER.WEIGHT_DECAY) == ("cosine", 1e-4)


def test_a_grid_multiplies_settings_alone(tmp_path: Path):
    """Baselines and teachers stay as without it; a point's value goes before the setting's."""
    without = {run.name: run for run in plan_runs(read_study(write(tmp_path, STUDY)))}
    study = read_study(write(tmp_path, STUDY, GRID={"TEACHER.KD_TEMPERATURE": [1.0, 2.0]}))
    runs = {run.name: run for run in plan_runs(study)}
    alone = {name: run for name, run in without.items() if not run.setting}
    assert alone == {name: run for name, run in runs.items() if not run.setting}
    taught = [name for name, run in runs.items() if run.setting]
    assert taught[0] == "paper.KD_TEMPERATURE-1.0.c3d-from-c3d.seed0"
    assert len(taught) == 4
    cfg = build_config(study, runs[taught[0]])
    assert (cfg.TEACHER.KD_TEMPERATURE, cfg.TEACHER.REPLAY, cfg.TASK.NAME) == (1.0, True, "distill")


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ({"A.NAME": ["x"], "B.NAME": ["y"]}, ["A.NAME-x.B.NAME-y"]),
        ({"W": ["/data/a/net.pt", "hf:OWNER/REPO@1"]}, ["W-net.pt", "W-REPO-1"]),
        ({"W": ["/a/best.pt", "/b/best.pt"]}, ["W-1", "W-2"]),
        ({"W": ["x" * 41, "y"]}, ["W-1", "W-2"]),
        ({"L": [["a", "b"], []]}, ["L-1", "L-2"]),
        ({"L": [["a", "b"], ["b"]], "F": [True, -1.5]}, ["L-a+b.F-True", "L-a+b.F--1.5", "L-b.F-True", "L-b.F--1.5"]),
    ],
)
def test_names(grid: dict, names: list[str]):
    """The last part of a key with its value; numbers where values are too long or too alike."""
    points = read_grid(grid, elsewhere={}, origin="")
    assert [point.name for point in points] == names
    assert all(check_name(f"{point.name}.seed0") for point in points)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**SWEEP, "GRID": []}, r"GRID is \[\]; it must be lists of values by config key, e\.g\. \{SOLVER"),
        ({**SWEEP, "GRID": {"SOLVER.BASE_LR": 0.1}}, r"SOLVER\.BASE_LR of GRID is 0\.1; it must be a list of values"),
        ({**SWEEP, "GRID": {"SOLVER.BASE_LR": [1, 1]}}, "no value may be there twice"),
        ({**SWEEP, "GRID": {"SOLVER.LR": [1]}}, r"unknown config key 'SOLVER\.LR' from GRID"),
        ({**SWEEP, "GRID": {"SOLVER.BASE_LR": ["fast"]}}, "must be of type float"),
        ({**SWEEP, "GRID": {"SEED": [1, 2]}}, "SEED cannot be in GRID: give it by SEEDS"),
        ({**SWEEP, "EPOCHS": 2, "GRID": {"SOLVER.EPOCHS": [2]}}, r"EPOCHS cannot be in GRID: give it by EPOCHS"),
        ({**SWEEP, "EPOCHS": -2}, "EPOCHS is -2"),
        ({**STUDY, "GRID": {"DATA.FRACTION": [0.5]}}, r"DATA\.FRACTION cannot be in GRID: give it by FRACTIONS"),
        ({**STUDY, "GRID": {"TEACHER.WEIGHTS": ["a.pt"]}}, "of which SETTINGS make the teachers"),
        ({**SWEEP, "HELD_OUT_GROUPS": [1], "GRID": {"DATA": {"LIST_DIR": ["a"]}}}, "by HELD_OUT_GROUPS, which make"),
        ({**SWEEP, "GRID": {"ZOO.PUBLISH_AS": ["a", "b"]}}, "ZOO.PUBLISH_AS is 'a', but the runs of a study are not"),
        ({**STUDY, "SETTINGS": {"../../esc": STUDY["SETTINGS"]["paper"]}}, r"'\.\./\.\./esc\..*cannot be a run's name"),
        ({**STUDY, "SETTINGS": {"x" * 140: STUDY["SETTINGS"]["paper"]}}, "it must have at most 150 letters"),
        ({**STUDY, "GRID": {"SOLVER.SCHEDULE": ["cosine"]}}, "a study needs 'constant'"),
        ({**STUDY, "GRIDS": {}}, "unknown key 'GRIDS': did you mean GRID?"),
        ({key: value for key, value in SWEEP.items() if key != "SEEDS"}, "has no SEEDS"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, values: dict, message: str):
    """One line each."""
    with pytest.raises(ValueError, match=message):
        read_study(write(tmp_path, values))


def test_other_values_under_the_same_name_are_refused(tmp_path: Path):
    """Two files called best.pt are numbered; in another order each run would be that of the other teacher."""
    files = ["/a/best.pt", "/b/best.pt"]
    given = {"data": tmp_path, "start": start, "at_once": 2, "pause": 0.0}
    for choices in (files, files):
        run_study(read_study(write(tmp_path, SWEEP, GRID={"TEACHER.WEIGHTS": choices})), tmp_path / "out", **given)
    study = read_study(write(tmp_path, SWEEP, GRID={"TEACHER.WEIGHTS": files[::-1]}))
    with pytest.raises(ValueError, match=r"was made with TEACHER\.WEIGHTS '/a/best\.pt', the study says '/b/best\.pt'"):
        run_study(study, tmp_path / "out", **given)


def test_a_sweep_with_teachers_goes_on(tmp_path: Path):
    """Runs store what SAMPLING they have found, with sorted keys; another loss is another run."""
    blocks = [{"WEIGHTS": "a.pt", "VIEWS": 2}, {"WEIGHTS": "b.pt", "VIEWS": 2, "SAMPLING": "own"}]
    values = {**SWEEP, "GRID": {"SOLVER.BASE_LR": [0.1]}, "CONFIG": {"TASK": {"NAME": "distill"}, "TEACHERS": blocks}}
    given = {"data": tmp_path, "at_once": 1, "pause": 0.0}

    def leave(prepared: PreparedRun) -> Callable[[], int]:
        ended = start(prepared)
        found = [one.get("SAMPLING", "shared") for one in prepared.cfg.TEACHERS]
        RunFolder(prepared.folder).write_config(with_sampling(prepared.cfg, found))
        return ended

    run_study(read_study(write(tmp_path, values)), tmp_path / "out", start=leave, **given)
    run_study(read_study(write(tmp_path, values)), tmp_path / "out", start=leave, **given)
    blocks[1]["SAMPLING"] = "shared"
    with pytest.raises(ValueError, match="was made with TEACHERS "):
        run_study(read_study(write(tmp_path, values)), tmp_path / "out", start=leave, **given)


def test_runs_do_not_publish_under_the_name_of_their_base(tmp_path: Path):
    """All would have the same."""
    base = tmp_path / "base.yaml"
    base.write_text(f"_BASE_: {BASE}\nZOO: {{PUBLISH_AS: one.name, REPLACE: true}}\n")
    study = read_study(write(tmp_path, SWEEP, BASE=str(base)))
    cfg = build_config(study, plan_runs(study)[0])
    assert (cfg.ZOO.PUBLISH_AS, cfg.ZOO.REPLACE) == ("", False)


def test_jobs_on_a_gpu_are_sent_from_a_machine_without(tmp_path: Path):
    """fp16 is refused only where the runs have no GPU."""
    study = read_study(write(tmp_path, SWEEP, GRID={"SOLVER.AMP": ["fp16"]}))
    given = {"data": tmp_path, "start": start, "at_once": 1, "pause": 0.0}
    with pytest.raises(ValueError, match="which needs a CUDA device"):
        run_study(study, tmp_path / "out", has_gpu=False, **given)
    run_study(study, tmp_path / "out", has_gpu=True, **given)
