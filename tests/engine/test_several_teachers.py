"""Runs with several teachers: each with its own losses, clips and store."""

import json
import re
import shlex
from contextlib import contextmanager
from pathlib import Path

import pytest
from traces import Run, traced_runs, train_teacher

from kdvideo.cli import main
from kdvideo.config import load_config
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.stop import Preempted
from kdvideo.engine.teach import teach
from kdvideo.paths import kdvideo_home
from kdvideo.tasks import FrozenTeacher
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.licences import commerce_warning

FEATURES = "LOSSES: [embedding_distillation, similarity_distillation], LOSS_WEIGHTS: [1, 0.5]"
TWO = f"[{{WEIGHTS: t.a}}, {{WEIGHTS: t.b, {FEATURES}}}]"
NONE = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"]


@pytest.fixture
def teachers(tiny_overrides: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a distillation. The second teacher, t.b, takes shorter and smaller clips, in RGB."""
    other = ["CLIP.LENGTH", "4", "CLIP.SIZE", "24", "CLIP.MODALITY", "rgb", "MODEL.BACKBONE", "r2plus1d_10"]
    train_teacher(tiny_overrides, *other, "ZOO.PUBLISH_AS", "t.b", "ZOO.LICENCE", "cc-by-nc-4.0")
    return [*train_teacher(tiny_overrides)[:-2], "TEACHERS", TWO]


@pytest.fixture
def distill(teachers: list[str], tmp_path: Path) -> Run:
    """Runs a distillation: its trace of losses, and its result."""
    return traced_runs(teachers, tmp_path)


def test_the_loss_is_the_sum_over_teachers(distill):
    """Each by its own losses and weights. The second one's names in the log end in _2."""
    losses, _ = distill("run", "TEACHERS.1.LOSS_WEIGHTS", "[2]")
    for step in losses:
        taught = (
            2 * step["logit_distillation"] + step["embedding_distillation_2"] + 0.5 * step["similarity_distillation_2"]
        )
        assert step["kd_loss"] == pytest.approx(taught, rel=1e-5)
        assert step["loss"] == pytest.approx(
            step["pretext_loss"] + 0.5 * step["contrast_loss"] + step["kd_loss"], rel=1e-5
        )
        assert {"teacher_agreement", "teacher_agreement_2"} <= step.keys()


def test_the_list_of_one_is_the_short_form(distill, teachers: list[str]):
    """To the bit."""
    one, _ = distill("one", "TEACHERS", "[{WEIGHTS: t.a}]")
    short, _ = distill("short", "TEACHERS", "[]", "TEACHER.WEIGHTS", "t.a")
    assert one == short


@pytest.mark.parametrize(
    "options",
    [
        ["TEACHERS.1.REPLAY", "on", "TEACHERS.2.REPLAY", "on"],
        [
            *("TEACHERS.1.REPLAY", "on", "TEACHERS.2.REPLAY", "on", "TEACHERS.1.SAMPLING", "own"),
            *("TEACHERS.2.SAMPLING", "own", "SOLVER.ACCUMULATE", "2", "DATA.AUGMENT_ON", "device"),
        ],
    ],
    ids=["shared", "own_accumulated"],
)
def test_replay_is_online(distill, options: list[str], monkeypatch: pytest.MonkeyPatch):
    """Online, recording, replayed: every step's every number is the same, bit by bit, and the last asks no teacher."""
    calls: list[int] = []
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, clips: calls.append(len(clips)) or answer(self, clips))
    off = [{"on": "off"}.get(option, option) for option in options]
    online, _ = distill("online", *off)
    num_online = len(calls)
    recorded, _ = distill("recorded", *options)
    assert len(calls) == 2 * num_online > 0
    replayed, _ = distill("replayed", *options)
    assert online == recorded == replayed
    assert len(calls) == 2 * num_online
    assert len(list((kdvideo_home() / "replay").iterdir())) == 2


@pytest.mark.parametrize("workers", ["0", "2"])
def test_views_of_one_and_frames_of_the_other(distill, workers: str):
    """Answers to views computed or read, beside a teacher with views, one with own frames and one without."""
    views = f"{{WEIGHTS: t.b, VIEWS: 2, {FEATURES}}}"
    blocks = f"[{{WEIGHTS: t.b, SAMPLING: own, {FEATURES}}}, {views}, {{WEIGHTS: t.a}}, {views.replace('t.b', 't.a')}]"
    options = ["TEACHERS", blocks, "DATA.NUM_WORKERS", workers]
    computed, _ = distill("computed", *options)
    read, _ = distill("read", *options)
    assert computed == read
    assert {"embedding_distillation", "embedding_distillation_2", "logit_distillation_3"} <= computed[0].keys()


def test_views_beside_others_are_those_of_one(distill):
    """The first losses of a teacher with views are the same alone and as the second of two, to the bit."""
    views = f"{{WEIGHTS: t.b, VIEWS: 2, {FEATURES}}}"
    alone, _ = distill("alone", "TEACHERS", f"[{views}]")
    second, _ = distill("second", "TEACHERS", f"[{views}, {{WEIGHTS: t.a, VIEWS: 2, {FEATURES}}}]")
    assert alone[0]["embedding_distillation"] == second[0]["embedding_distillation"]


@pytest.mark.parametrize("weighting", ["fixed", "adaptive"])
def test_it_goes_on_within_an_epoch(distill, weighting: str):
    """Stopped after the third of four steps: the same losses to the bit."""
    options = ["TEACHERS.2.WEIGHTING", weighting, "TEACHERS.1.REPLAY", "on"]
    whole, _ = distill("whole", *options)
    asked: list[int] = []

    @contextmanager
    def stopping():
        yield lambda: asked.append(1) or len(asked) == 3

    with pytest.raises(Preempted):
        distill("parts", *options, stopping=stopping)
    rest, _ = distill("parts", *options, resume=True)
    assert rest == whole[3:]
    assert ("embedding_distillation_weight_2" in rest[0]) == (weighting == "adaptive")


def test_learnt_weights_move(distill):
    """The larger loss, far above a half, gets a smaller weight."""
    losses, _ = distill("run", "TEACHERS.1.WEIGHTING", "adaptive", "TEACHERS.1.KD_TEMPERATURE", "1")
    assert losses[0]["logit_distillation_weight"] == 1
    assert losses[-1]["logit_distillation_weight"] != 1


def test_all_teachers_are_named(distill, tmp_path: Path):
    """By the entry, with hash and licence; by the warning; and the file reads back."""
    _, result = distill("run", "ZOO.PUBLISH_AS", "s.two", *NONE, "TEACHERS", f"[{{WEIGHTS: t.a, {FEATURES}}}]")
    assert "more_teachers" not in json.loads(result.entry.to_json())
    blocks = f"[{{WEIGHTS: t.a, {FEATURES}}}, {{WEIGHTS: t.b, {FEATURES}}}]"
    _, result = distill("two", "ZOO.PUBLISH_AS", "s.three", *NONE, "TEACHERS", blocks)
    entry = ZooEntry.from_json(result.entry.to_json(), origin="here")
    assert [teacher["name"] for teacher in entry.teachers] == ["t.a", "t.b"]
    assert entry.teachers[1]["licence"] == "cc-by-nc-4.0"
    assert all(len(teacher["sha256"]) == 64 for teacher in entry.teachers)
    assert commerce_warning(entry.licence, entry.teachers).endswith("teacher t.b is cc-by-nc-4.0")
    assert "its teacher t.b is cc-by-nc-4.0" in (tmp_path / "two" / "log.txt").read_text()
    assert RunFolder(tmp_path / "two").facts().more_teachers == entry.more_teachers
    assert entry.settings["TEACHERS"][1]["SAMPLING"] == "shared"


def test_each_is_checked(distill):
    """What a teacher cannot do is said of its own block."""
    distill("run", *NONE, "ZOO.PUBLISH_AS", "t.c", "TEACHERS", f"[{{WEIGHTS: t.a, {FEATURES}}}]")
    with pytest.raises(ValueError, match=r"^TEACHERS\.2\.WEIGHTS t\.c has no pretext head, which TEACHERS\.2\.LOSSES"):
        distill("other", "TEACHERS", "[{WEIGHTS: t.a}, {WEIGHTS: t.c}]")


def test_stores_are_those_of_single_teachers(
    distill, teachers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """Asked one after the other, by one command. Its last line makes a student of both, which asks no teacher."""
    views = [f"{{WEIGHTS: {name}, VIEWS: 2, {FEATURES}}}" for name in ("t.a", "t.b")]
    options = ["TEACHERS", f"[{', '.join(views)}]"]
    with pytest.raises(ValueError, match=r"t\.c"):
        teach(load_config(None, [*teachers, *options, "TEACHERS.2.WEIGHTS", "t.c"]))
    assert not list((kdvideo_home() / "replay").glob("*"))  # the first was not asked
    assert main(["teach", teachers[teachers.index("DATA.ROOT") + 1], *teachers, *options]) == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    stores = [re.search(r"^all answers to 2 views of 12 videos are in ([^:]+)", line)[1] for line in (first, second)]
    for name, store in zip(("t.a", "t.b"), stores, strict=True):
        short = ["TEACHERS", "[]", "TEACHER.WEIGHTS", name, "TEACHER.VIEWS", "2", "TEACHER.LOSSES"]
        [one] = teach(load_config(None, [*teachers, *short, "[embedding_distillation]"]))
        assert (str(one.store.directory), one.num_missing) == (store, 0)
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, clips: pytest.fail("a teacher was asked"))
    distill("read", *shlex.split(second.partition("kdvideo train ")[2]))


def test_samples_around_views_are_no_replay(distill):
    """A store of samples would get answers to other clips than runs without views."""
    mixed = f"[{{WEIGHTS: t.a, REPLAY: true, {FEATURES}}}, {{WEIGHTS: t.b, VIEWS: 2, {FEATURES}}}]"
    with pytest.raises(ValueError, match=r"TEACHERS.1.REPLAY is on, but samples lie around another teacher's VIEWS 2"):
        distill("run", "TEACHERS", mixed)
