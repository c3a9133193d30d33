"""A teacher's views: it answers once to each, whoever asks, and runs that read train as the run that computed."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from traces import Trace, train_teacher

from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.stop import Preempted
from kdvideo.engine.teach import teach
from kdvideo.paths import kdvideo_home
from kdvideo.tasks import FrozenTeacher

LOSSES = ("TEACHER.LOSSES", "[embedding_distillation, similarity_distillation]", "TEACHER.LOSS_WEIGHTS", "[1, 1]")


@pytest.fixture
def teacher(tiny_overrides: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a distillation from a trained teacher with other clips than its students'."""
    return [*train_teacher(tiny_overrides, "CLIP.LENGTH", "4"), *LOSSES]


@pytest.fixture
def seen(teacher: list[str], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many views the teacher saw in each of its passes."""
    counts: list[int] = []
    answer = FrozenTeacher.answer
    monkeypatch.setattr(FrozenTeacher, "answer", lambda self, clips: counts.append(len(clips)) or answer(self, clips))
    return counts


@pytest.fixture
def distill(teacher: list[str], tmp_path: Path, seen: list[int]):
    """Runs a distillation: its trace of losses, and how many views its teacher saw."""

    def run(name: str, *extra: str, **keywords) -> tuple[list[dict], int]:
        trace = Trace()
        seen.clear()
        options = ["OUTPUT_DIR", str(tmp_path / name), *extra]
        train(load_config(None, [*teacher, *options]), extra_hooks=(trace,), **keywords)
        return trace.losses, sum(seen)

    return run


@pytest.mark.parametrize(
    "options",
    [
        ["TEACHER.VIEWS", "2"],
        ["TEACHER.VIEWS", "1", "PRETEXT.NAME", "vcop", "DATA.NUM_WORKERS", "1"],
        ["TEACHER.VIEWS", "2", "SOLVER.AMP", "bf16", "SOLVER.ACCUMULATE", "2", "DATA.AUGMENT_ON", "device"],
    ],
    ids=["vcp", "vcop_workers", "bf16_device"],
)
def test_the_same_losses(distill, options: list[str]):
    """Computed, or read from the store: every step's every number is the same, bit by bit."""
    computed, num_computed = distill("computed", *options)
    read, num_read = distill("read", *options)
    assert computed == read
    assert (num_computed, num_read) == (12 * int(options[1]), 0)


def test_once_a_view_whatever_the_epochs(distill):
    """Six views and twelve epochs: six passes a video. Another student, with a part of the videos, needs none."""
    short = ("EVAL.PERIOD", "100", "TEACHER.VIEWS", "6", "SOLVER.CHECKPOINT_EPOCHS", "100")
    _, num_seen = distill("first", *short, "SOLVER.EPOCHS", "12")
    assert num_seen == 6 * 12
    other = [
        "MODEL.BACKBONE",
        "c3d",
        "SEED",
        "3",
        "PRETEXT.INTERVAL",
        "0",
        "SOLVER.BATCH_SIZE",
        "4",
        "SOLVER.EPOCHS",
        "7",
    ]
    _, num_seen = distill("other", *short, *other, "DATA.FRACTION", "0.5")
    assert num_seen == 0


def test_no_clip_is_decoded_for_a_full_store(distill, monkeypatch: pytest.MonkeyPatch):
    """Not even in the first epoch."""
    distill("computed", "TEACHER.VIEWS", "2")

    def refuse(*arguments, **keywords):
        raise AssertionError("a teacher's clip was decoded")

    monkeypatch.setattr("kdvideo.data.views.read_views", refuse)
    distill("read", "TEACHER.VIEWS", "2")


def test_it_goes_on_within_an_epoch(distill):
    """Stopped after the third of four steps, in the second epoch; a fresh store each, and the same bits."""
    options = ["TEACHER.VIEWS", "3"]
    whole, _ = distill("whole", *options)
    for path in (kdvideo_home() / "replay").rglob("*.valid"):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(Preempted):
        distill("parts", *options, stopping=_stop_after(3))
    rest, _ = distill("parts", *options, resume=True)
    assert rest == whole[3:]


def _stop_after(num_steps: int):
    asked: list[int] = []

    @contextmanager
    def stopping():
        yield lambda: asked.append(1) or len(asked) == num_steps

    return stopping


def test_other_weights_or_precision_are_another_store(distill, teacher: list[str], tmp_path: Path):
    """None of their answers is taken for the others'."""
    distill("first", "TEACHER.VIEWS", "2")
    again = ["OUTPUT_DIR", str(tmp_path / "again"), "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "t.b", "CLIP.LENGTH", "4"]
    train(load_config(None, [*teacher, *again, "TASK.NAME", "pcl", "TEACHER.WEIGHTS", "", "SEED", "1"]))
    _, num_seen = distill("other", "TEACHER.VIEWS", "2", "TEACHER.WEIGHTS", "t.b")
    assert num_seen == 24
    _, num_seen = distill("bf16", "TEACHER.VIEWS", "2", "SOLVER.AMP", "bf16")
    assert num_seen == 24
    _, num_seen = distill("three", "TEACHER.VIEWS", "3")
    assert num_seen == 24  # two epochs
    _, num_seen = distill("same", "TEACHER.VIEWS", "2")
    assert num_seen == 0


def test_from_the_teacher_alone(distill, teacher: list[str], seen: list[int]):
    """Single clips, no pretext, no contrast: six passes a video by `teach`, none in sixty epochs, resumed or not."""
    alone = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none", "TEACHER.VIEWS", "6"]
    few = ["SOLVER.EPOCHS", "60", "SOLVER.BATCH_SIZE", "4", "DATA.FRACTION", "0.34", "EVAL.PERIOD", "100"]
    options = [*alone, *few, "SOLVER.CHECKPOINT_EPOCHS", "100"]
    teach(load_config(None, [*teacher, *options]))
    assert sum(seen) == 6 * 12
    whole, num_seen = distill("whole", *options)
    assert (len(whole), num_seen) == (60, 0)
    assert whole[0].keys() == {"loss", "kd_loss", "embedding_distillation", "similarity_distillation", "grad_norm"}
    assert whole[-1]["embedding_distillation"] < whole[0]["embedding_distillation"]
    with pytest.raises(Preempted):
        distill("parts", *options, stopping=_stop_after(31))
    rest, num_seen = distill("parts", *options, resume=True)
    assert (rest, num_seen) == (whole[31:], 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["PRETEXT.NAME", "rotnet"], r"PRETEXT\.NAME rotnet may change every clip.*: choose of .*vcop, vcp"),
        (
            ["TEACHER.LOSSES", "[logit_distillation]", "TEACHER.LOSS_WEIGHTS", "[1]"],
            r"TEACHER\.LOSSES is \['logit_distillation'\], but a teacher's views have features only: choose of emb",
        ),
        (["TASK.NAME", "pcl", "TEACHER.WEIGHTS", ""], r"TEACHER\.VIEWS is 2, but TASK\.NAME pcl has no teacher"),
        (
            ["TEACHER.VIEWS", "1000"],
            r"TEACHER\.VIEWS is 1000, but the longest of 12 videos has \d+ frames, .*: lower it, e.g. to 6$",
        ),
    ],
    ids=["pretext", "loss", "task", "many"],
)
def test_what_cannot_learn_from_views_is_refused(distill, options: list[str], message: str):
    """In one line, before anything is decoded."""
    with pytest.raises(ValueError, match=message):
        distill("refused", "TEACHER.VIEWS", "2", *options)
    assert not (kdvideo_home() / "replay").exists()
