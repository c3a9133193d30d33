"""`kdvideo teach`: every view once, by one process or several, killed or not, and students that need no teacher."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from traces import train_teacher

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.teach import part_of_groups, teach
from kdvideo.paths import kdvideo_home
from kdvideo.tasks import FrozenTeacher

NUM_VIDEOS, K = 12, 3
SMALL_GROUPS = ("EVAL.BATCH_SIZE", "6")  # two videos


@pytest.fixture
def command(tiny_overrides: list[str], tmp_path: Path, capfd: pytest.CaptureFixture) -> list[str]:
    """The words of a command for a trained teacher whose clips are shorter than the students'."""
    train_teacher(tiny_overrides, "CLIP.LENGTH", "4")
    capfd.readouterr()
    root, zoo = tiny_overrides[1], ["ZOO.DIR", str(tmp_path / "zoo")]
    return ["teach", root, "--teacher", "t.a", "--views", str(K), *zoo, *SMALL_GROUPS, "DATA.NUM_WORKERS", "0"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views the teacher saw in each of its passes."""
    counts: list[int] = []
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, clips: counts.append(len(clips)) or answer(self, clips))
    return counts


def stores() -> list[Path]:
    return sorted(path.parent for path in (kdvideo_home() / "replay").glob("*/key.json"))


def answers() -> np.ndarray:
    (store,) = stores()
    assert np.fromfile(store / "feature.valid", dtype="<u4").all()
    return np.fromfile(store / "feature.values", dtype="<f4").reshape(K * NUM_VIDEOS, -1)


def forget() -> None:
    for path in stores():
        (path / "feature.values").unlink()
        (path / "feature.valid").unlink()


def start(words: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "kdvideo.cli", *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_last_line_makes_a_student_that_needs_no_teacher(
    command: list[str], seen: list[int], tiny_overrides: list[str], capfd: pytest.CaptureFixture
):
    """Each view once, none again at a second start, and none for twelve epochs of a student."""
    assert main(command) == 0
    said = capfd.readouterr()
    assert sum(seen) == K * NUM_VIDEOS
    assert re.search(r"teach: 12 videos in \d+ s", said.err)
    (line,) = said.out.splitlines()
    assert line.startswith(
        f"all answers to 3 views of 12 videos are in {stores()[0]}: kdvideo train TASK.NAME distill "
    )
    assert main(command) == 0
    settings = shlex.split(line.partition("kdvideo train ")[2])
    many = ["SOLVER.EPOCHS", "12", "EVAL.PERIOD", "100", "SOLVER.CHECKPOINT_EPOCHS", "100", "MODEL.WIDTH", "2"]
    train(load_config(None, [*tiny_overrides, *many, *settings]))
    assert sum(seen) == K * NUM_VIDEOS


def test_the_last_line_names_what_decides_about_the_store(command: list[str], capfd: pytest.CaptureFixture):
    """Precision and kernels, where they are not the usual ones, and where the teacher lies; not what students need."""
    students = ["SOLVER.SYNC_BN", "True"]  # on GPUs
    assert main([*command, "SOLVER.AMP", "bf16", "SOLVER.DETERMINISTIC", "False", *students]) == 0
    settings = shlex.split(capfd.readouterr().out.partition("kdvideo train ")[2])
    named = dict(zip(settings[::2], settings[1::2], strict=True))
    assert (named["SOLVER.AMP"], named["SOLVER.DETERMINISTIC"]) == ("bf16", "False")
    assert named["ZOO.DIR"] == command[command.index("ZOO.DIR") + 1]
    assert not {"DATA.SPLIT", "DATA.MAX_BAD_FRACTION", "DATA.TIME_LIMIT", "TEACHER.CLIP_SPEC"} & set(named)


def test_videos_that_cannot_be_read(
    command: list[str], seen: list[int], tiny_overrides: list[str], tmp_path: Path, capfd: pytest.CaptureFixture
):
    """Refused above DATA.MAX_BAD_FRACTION, as training does; else left out, and the student's videos are the same."""
    root = tmp_path / "damaged"
    shutil.copytree(command[1], root)
    (root / "BallRoll" / "v_BallRoll_g01_c01.avi").write_bytes(b"no video")
    (root / "BallRise" / "v_BallRise_g02_c01.avi").unlink()
    words = ["teach", str(root), *command[2:]]
    assert main(words) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert "2 of 12 training videos cannot be used, 16.7%, and DATA.MAX_BAD_FRACTION allows 1.0%" in last
    assert (sum(seen), stores()) == (0, [])
    assert main([*words, "DATA.MAX_BAD_FRACTION", "0.2"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith("all answers to 3 views of 10 videos are in ")
    assert sum(seen) == K * 10
    settings = shlex.split(line.partition("kdvideo train ")[2])
    train(load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", str(K), "EVAL.PERIOD", "100", *settings]))
    assert sum(seen) == K * 10


def test_what_it_computes_is_what_a_student_would(command: list[str], seen: list[int], tiny_overrides: list[str]):
    """Up to rounding, as a student's batches are others. A store that is half full is completed."""
    main([*command, "--part", "1/2"])
    assert 0 < sum(seen) < K * NUM_VIDEOS
    main(command)
    assert sum(seen) == K * NUM_VIDEOS
    taught = answers()
    forget()
    train(
        load_config(
            None,
            [
                *tiny_overrides,
                *("TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a", "TEACHER.VIEWS", str(K), "SOLVER.EPOCHS", str(K)),
                *("TEACHER.LOSSES", "[embedding_distillation]", "EVAL.PERIOD", "100"),
            ],
        )
    )
    assert np.abs(taught - answers()).max() <= 1e-5 * np.abs(taught).max()  # float32 sums in another order


def test_parts_are_all_of_it(command: list[str], capfd: pytest.CaptureFixture):
    """One after the other, each says what is missing, and the last that nothing is."""
    lines = []
    for number in range(1, 4):
        assert main([*command, "--part", f"{number}/3"]) == 0
        lines.append(capfd.readouterr().out)
    assert lines[0].startswith("24 answers to 3 views of 12 videos are missing in ")
    assert lines[1].startswith("12 answers to")
    assert lines[2].startswith("all answers to")
    parts = [part_of_groups(7, 2, part=(number, 3)) for number in range(1, 4)]
    assert [video for part in parts for group in part for video in group] == list(range(7))
    assert part_of_groups(2, 2, part=(1, 3)) == []


def test_killed_twice_and_continued(command: list[str], capfd: pytest.CaptureFixture):
    """The bits of an undisturbed one, whatever was there when it was killed."""
    main(command)
    whole = answers()
    forget()
    for least in (1, 13):
        process = start(command)
        while (
            not (path := stores()[0] / "feature.valid").exists() or np.count_nonzero(np.fromfile(path, "<u4")) < least
        ):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert main(command) == 0
    assert np.array_equal(answers(), whole)


@pytest.mark.slow
def test_two_processes_at_once(command: list[str]):
    """Both end well, with the bits of one; neither does all of the work twice."""
    main(command)
    whole = answers()
    forget()
    processes = [start(command) for _ in range(2)]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert np.array_equal(answers(), whole)


@pytest.mark.slow
def test_two_ranks(command: list[str]):
    """Under torchrun; rank 0 alone says what is there, and the bits are those of one process."""
    main(command)
    whole = answers()
    forget()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, "-m", "kdvideo.cli", *command], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all answers to 3 views of 12 videos") == 1
    assert np.array_equal(answers(), whole)


def test_other_weights_of_the_same_name_are_another_store(
    command: list[str], seen: list[int], tiny_overrides: list[str], tmp_path: Path
):
    """And so are another precision, other views, and another revision."""
    main(command)
    own = ["OUTPUT_DIR", str(tmp_path / "again"), "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "t.a", "CLIP.LENGTH", "4"]
    train(load_config(None, [*tiny_overrides, *own, "SEED", "1", "ZOO.REPLACE", "True"]))
    for words in (command, [*command, "SOLVER.AMP", "bf16"], [*command, "--views", "4"]):
        seen.clear()
        assert main(words) == 0
        assert sum(seen) == NUM_VIDEOS * (4 if "4" in words[-1:] else K)
    assert len(stores()) == 4


def test_another_revision_is_another_store(
    command: list[str], tiny_overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Even if its weights are the same: its code or its input may be others."""
    from dataclasses import replace

    from kdvideo.engine import teachers as module

    load = module.load_model
    overrides = [*tiny_overrides, "TASK.NAME", "distill", "TEACHER.WEIGHTS", "t.a", "TEACHER.VIEWS", "1"]
    for commit in ("a", "b", "a"):

        def pinned(*arguments, commit=commit, **keywords):
            model, weights = load(*arguments, **keywords)
            return model, replace(weights, pinned=f"hf:owner/model@{commit}")

        monkeypatch.setattr(module, "load_model", pinned)
        teach(load_config(None, overrides))
    assert len(stores()) == 2


def test_teachers_without_views_are_told_their_key(tmp_path: Path):
    """TEACHERS has no VIEWS of its own, and TEACHER.VIEWS would not count."""
    block = "{WEIGHTS: t.a, LOSSES: [embedding_distillation], LOSS_WEIGHTS: [1.0]}"
    with pytest.raises(ValueError, match=r"^none of TEACHERS has VIEWS: set TEACHERS.1.VIEWS$"):
        teach(load_config(None, ["DATA.ROOT", str(tmp_path), "TASK.NAME", "distill", "TEACHERS", f"[{block}]"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--views", "0"], "--views is 0; it must be at least 1"),
        (["--teacher", "t.missing"], "t.missing"),
        (["--part", "4/3"], "'4/3' is no part"),
        (["TEACHER.CLIP_SPEC", "nonsense"], "TEACHER.CLIP_SPEC"),
    ],
    ids=["views", "teacher", "part", "clip_spec"],
)
def test_mistakes_end_in_one_line(command: list[str], change: list[str], message: str, capfd: pytest.CaptureFixture):
    """It names what was given, and nothing is computed."""
    words = command
    for option in ("--views", "--teacher"):
        if option in change:
            place = words.index(option)
            words = words[:place] + words[place + 2 :]
    try:
        code = main([*words, *change])
    except SystemExit as end:
        code = end.code
    last = capfd.readouterr().err.splitlines()[-1]
    assert (code, message in last) == (2, True), last
    assert not stores()


def test_a_folder_without_videos_and_a_missing_one(command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture):
    """One line each."""
    for root in (tmp_path / "missing", tmp_path):
        assert main(["teach", str(root), *command[2:]]) == 2
        assert str(root) in capfd.readouterr().err.splitlines()[-1]


def test_answers_that_are_not_finite_are_not_kept(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    """The line names a video."""
    monkeypatch.setattr(
        FrozenTeacher,
        "answer",
        lambda self, clips: {"feature": torch.full((len(clips), 1, self.num_features), torch.nan)},
    )
    assert main(command) == 1
    assert re.search(r"answer to \S+\.avi is not finite", capfd.readouterr().err.splitlines()[-1])
    (store,) = stores()
    assert not np.fromfile(store / "feature.valid", dtype="<u4").any()
