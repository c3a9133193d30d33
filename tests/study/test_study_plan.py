"""Which runs a study is made of, and what it refuses."""

from pathlib import Path

import pytest
import yaml

from kdvideo.paths import zoo_root
from kdvideo.study.plan import build_config, plan_runs, select_seeds
from kdvideo.study.read import read_study
from kdvideo.study.selection import write_held_out_lists

SMALL = {
    "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
    "CONFIG": {"CLIP": {"SIZE": 32}},
    "ARCHITECTURES": ["c3d", "r3d_10"],
    "SEEDS": [3, 4, 5],
    "EPOCHS": 4,
    "SETTINGS": {
        "paper": {"TEACHER_EPOCHS": 4, "CONFIG": {"TEACHER": {"KD_TEMPERATURE": 2.0}}},
        "long": {
            "TEACHER_EPOCHS": 8,
            "CONFIG": {},
            "PAIRS": [["c3d", "r3d_10"]],
            "FRACTIONS": [0.5],
            "FRACTION_PAIRS": [["c3d", "r3d_10"]],
        },
    },
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def test_runs_come_after_what_they_need(tmp_path: Path):
    runs = plan_runs(read_study(write(tmp_path)))
    names = [run.name for run in runs]
    assert len(set(names)) == len(names)
    for place, run in enumerate(runs):
        assert all(names.index(name) < place for name in run.after), run
    # 3 lengths alone; 4 pairs; 1 pair; 1 part of the list, alone and taught; each with 3 seeds
    assert len(runs) == 3 * (2 * 3 + 4 + 1 + 2)


def test_teachers_and_continued_runs(tmp_path: Path):
    study = read_study(write(tmp_path))
    runs = {run.name: run for run in plan_runs(study)}
    student = runs["long.c3d-from-r3d_10.part0.5.seed5"]
    assert (student.teacher_run, student.epochs, student.fraction) == ("r3d_10.e8.seed3", 4, 0.5)
    assert runs["paper.c3d-from-c3d.seed3"].teacher_run == "c3d.e4.seed4"  # not its own first weights
    assert runs["r3d_10.e12.seed3"].continues == "r3d_10.e8.seed3"
    assert runs["r3d_10.e4.seed3"].after == ()
    cfg = build_config(study, runs["paper.c3d-from-c3d.seed3"])
    assert (cfg.TASK.NAME, cfg.TEACHER.KD_TEMPERATURE, cfg.CLIP.SIZE, cfg.SEED) == ("distill", 2.0, 32, 3)
    assert build_config(study, runs["c3d.e12.seed4"]).TASK.NAME == "pcl"


@pytest.mark.parametrize("name", ["ucf101mini.yaml", "ucf101mini_selection.yaml", "ucf101mini_gpu.yaml"])
def test_shipped_studies_can_be_read(name: str):
    assert plan_runs(read_study(zoo_root() / "configs" / "study" / name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"EPOCHES": 3}, "unknown key 'EPOCHES': did you mean EPOCHS?"),
        ({"EPOCHS": 2}, "EPOCHS is 2"),
        ({"SEEDS": [1, 1]}, "no seed twice"),
        ({"SETTINGS": {"paper": {"CONFIG": {}}}}, "SETTINGS.paper has no TEACHER_EPOCHS"),
        (
            {"SETTINGS": {"a": {"TEACHER_EPOCHS": 4, "CONFIG": {}, "PAIRS": [["c3d", "s3d"]]}}},
            "must be \\[STUDENT, TEACHER\\]",
        ),
        (
            {"SETTINGS": {"a": {"TEACHER_EPOCHS": 4, "CONFIG": {"TEACHER": {"TAU": 4}}}}},
            "unknown config key 'TEACHER.TAU'",
        ),
        ({"CONFIG": {"SOLVER": {"SCHEDULE": "cosine"}}}, "SCHEDULE is 'cosine'; a study needs 'constant'"),
        ({"CONFIG": {"EVAL": {"FINAL_CLIPS_PER_VIDEO": 3}}}, "FINAL_CLIPS_PER_VIDEO is 3; a study needs 10"),
        ({"SETTINGS": []}, "SETTINGS is \\[\\]; it must be a dict"),
        ({"BASE": "nowhere.yaml"}, "nowhere.yaml does not exist"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        read_study(write(tmp_path, **changes))


def test_no_yaml(tmp_path: Path):
    for content in (b"\xff\xfe", b"[1, 2"):
        (tmp_path / "study.yaml").write_bytes(content)
        with pytest.raises(ValueError, match=r"study .*study\.yaml cannot be read"):
            read_study(tmp_path / "study.yaml")


def test_held_out_groups_are_the_test_list(tmp_path: Path, tiny_dataset: Path):
    official = tiny_dataset / "ucfTrainTestlist"
    training = (official / "trainlist01.txt").read_text().split("\n")
    group = int(training[0].split("_g")[1][:2])
    lists = write_held_out_lists(tiny_dataset, [group], tmp_path / "lists")
    kept = (lists / "trainlist01.txt").read_text().splitlines()
    held = (lists / "testlist01.txt").read_text().splitlines()
    assert held
    assert all(f"_g{group:02d}_" in line and " " not in line for line in held)
    assert sorted([line.split()[0] for line in kept] + held) == sorted(line.split()[0] for line in training if line)
    assert not set(held) & set((official / "testlist01.txt").read_text().splitlines())
    with pytest.raises(ValueError, match="is of group 99"):
        write_held_out_lists(tiny_dataset, [99], tmp_path / "none")
    with pytest.raises(ValueError, match=r"classInd\.txt: No such file"):
        write_held_out_lists(tmp_path, [1], tmp_path / "none")


def test_runs_of_some_seeds_are_those_of_the_whole_study(tmp_path: Path):
    study = read_study(write(tmp_path))
    every = {run.name: run for run in plan_runs(study)}
    some = plan_runs(select_seeds(study, [5, 4]))
    assert all(every[run.name] == run for run in some)
    names = {run.name for run in some}
    assert all(needed in names for run in some for needed in run.after)
    assert {run.seed for run in some if run.setting or run.epochs == 12} == {4, 5}
    assert {run.name for run in some if run.seed == 3} == {
        "c3d.e4.seed3",
        "r3d_10.e4.seed3",
        "c3d.e8.seed3",
        "r3d_10.e8.seed3",
    }  # the teachers of seed 5
    with pytest.raises(ValueError, match=r"`seeds` are \[4, 6\]; choose of \[3, 4, 5\], the study's"):
        select_seeds(study, [4, 6])


def test_the_first_seeds_pairs_come_first():
    """So that an interrupted study has whole seeds."""
    study = read_study(zoo_root() / "configs" / "study" / "ucf101mini_gpu.yaml")
    runs = plan_runs(study)
    assert len(runs) == 60
    assert [run.seed for run in runs if run.setting] == [seed for seed in study.seeds for _ in range(9)]
    assert not any(run.setting for run in runs[:15])
