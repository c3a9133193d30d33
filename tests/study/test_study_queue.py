"""The queue of a study: order, what is at once, what fails, what is finished already. Its runs are stand-ins."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kdvideo.engine.run_folder import FACTS_NAME
from kdvideo.paths import zoo_root
from kdvideo.study.plan import Study, plan_runs
from kdvideo.study.queue import PreparedRun, run_folder, run_study
from kdvideo.study.read import read_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "study.yaml"
    values = {
        "BASE": str(zoo_root() / "configs" / "base" / "ucf101mini.yaml"),
        "CONFIG": {"CLIP": {"SIZE": 32}},
        "ARCHITECTURES": ["c3d", "r3d_10"],
        "SEEDS": [0, 1],
        "EPOCHS": 3,
        "SETTINGS": {"paper": {"TEACHER_EPOCHS": 3, "CONFIG": {"TEACHER": {"KD_TEMPERATURE": 4.0}}}},
    }
    path.write_text(yaml.safe_dump(values))
    return read_study(path)


class Stub:
    """Starts runs that last three polls and leave what a real one would; those named in `failing` leave nothing."""

    def __init__(self, failing: str = "no run") -> None:
        self.failing = failing
        self.started: list[str] = []
        self.running = self.most_running = 0

    def __call__(self, prepared: PreparedRun) -> Callable[[], int | None]:
        name = prepared.run.name
        for needed in prepared.run.after:
            assert (prepared.folder.parent / needed / FACTS_NAME).exists()
        self.started.append(name)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        (prepared.folder / "config.yaml").write_text(prepared.config_file.read_text())
        polls = iter([None, None, 0])

        def poll() -> int | None:
            code = next(polls)
            if code is not None:
                self.running -= 1
                if not name.startswith(self.failing):
                    for left in ("checkpoint.pt", "metrics.jsonl", FACTS_NAME):
                        (prepared.folder / left).touch()
            return code

        return poll


@pytest.mark.parametrize("at_once", [1, 3])
def test_every_run_once_and_then_never_again(study: Study, tmp_path: Path, at_once: int):
    start = Stub()
    run_study(study, tmp_path / "out", data=tmp_path, start=start, at_once=at_once, pause=0.0)
    assert sorted(start.started) == sorted(run.name for run in plan_runs(study))
    assert start.most_running == at_once
    again = Stub()
    run_study(study, tmp_path / "out", data=tmp_path, start=again, at_once=at_once, pause=0.0)
    assert again.started == []
    gone = run_folder(tmp_path / "out", "paper.c3d-from-r3d_10.seed1")
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    run_study(study, tmp_path / "out", data=tmp_path, start=again, at_once=at_once, pause=0.0)
    assert again.started == [gone.name]


def test_a_failing_run_leaves_out_what_needs_it(study: Study, tmp_path: Path):
    start = Stub(failing="c3d.e3.seed0")
    with pytest.raises(
        ValueError, match=r"1 runs failed, and 3 that need them were left out: c3d\.e3\.seed0; see .*\.log"
    ):
        run_study(study, tmp_path / "out", data=tmp_path, start=start, at_once=2, pause=0.0)
    # its students of seed 1, and its longer self
    missing = {run.name for run in plan_runs(study)} - set(start.started)
    assert missing == {"paper.c3d-from-c3d.seed1", "paper.r3d_10-from-c3d.seed1", "c3d.e6.seed0"}


def test_what_cannot_work_is_refused_before_a_run_starts(study: Study, tmp_path: Path):
    start = Stub()
    with pytest.raises(ValueError, match=r"--data .*nowhere is not a folder"):
        run_study(study, tmp_path / "out", data=tmp_path / "nowhere", start=start, at_once=2, pause=0.0)
    study.config["CLIP"]["SIZE"] = 500
    with pytest.raises(ValueError, match=r"SHORT_SIDE is 64; it must be at least CLIP\.SIZE"):
        run_study(study, tmp_path / "out", data=tmp_path, start=start, at_once=2, pause=0.0)
    assert start.started == []


def test_other_settings_are_refused(study: Study, tmp_path: Path):
    run_study(study, tmp_path / "out", data=tmp_path, start=Stub(), at_once=2, pause=0.0)
    study.config["CLIP"]["SIZE"] = 48
    with pytest.raises(
        ValueError, match=r"was made with CLIP\.SIZE 32, the study says 48: remove it, or choose another"
    ):
        run_study(study, tmp_path / "out", data=tmp_path, start=Stub(), at_once=2, pause=0.0)


def test_runs_of_a_former_version_stay_finished(study: Study, tmp_path: Path):
    """A key newer than their config had its default; defaults of speed and memory that have changed are no setting."""
    run_study(study, tmp_path / "out", data=tmp_path, start=Stub(), at_once=2, pause=0.0)
    for path in (tmp_path / "out" / "runs").glob("*/config.yaml"):
        values = yaml.safe_load(path.read_text())
        del values["SOLVER"]["SYNC_BN"]
        values["EVAL"]["BATCH_SIZE"], values["DATA"]["NUM_WORKERS"] = 32, 2
        path.write_text(yaml.safe_dump(values))
    again = Stub()
    run_study(study, tmp_path / "out", data=tmp_path, start=again, at_once=2, pause=0.0)
    assert again.started == []
