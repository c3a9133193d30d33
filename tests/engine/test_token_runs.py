"""Runs whose students learn from their teachers' tokens: resumed, replayed, from views, from a transformer."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny_teachers import write_teacher
from traces import Run, Trace, traced_runs, train_teacher

from kdvideo.config import load_config
from kdvideo.engine.launch import train
from kdvideo.engine.stop import Preempted

NONE = ["PRETEXT.NAME", "none", "PRETEXT.TUPLE_LEN", "1", "CONTRAST.NAME", "none"]
ALL = ["token_distillation", "token_mse", "token_relations"]


def with_losses(*names: str) -> list[str]:
    return ["TEACHER.LOSSES", str(list(names)), "TEACHER.LOSS_WEIGHTS", str([1.0] * len(names))]


@pytest.fixture
def distill(tiny_overrides: list[str], tmp_path: Path) -> Run:
    """Runs a distillation from a trained teacher with other clips: its trace of losses, and its result."""
    teacher = [*train_teacher(tiny_overrides, "CLIP.LENGTH", "4"), *NONE, *with_losses(*ALL)]
    return traced_runs(teacher, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["TEACHER.SAMPLING", "own", *with_losses(*ALL, "embedding_distillation"), "TEACHER.STUDENT_LAYERS", "[stage3]"],
        ["TEACHER.VIEWS", "2", "SOLVER.AMP", "bf16"],
    ],
    ids=["shared", "own_stage3_and_features", "views_bf16"],
)
def test_stored_tokens_are_the_computed(distill, options: list[str]):
    """Online, or with views the first run; recorded; read: the losses are the same, bit by bit."""
    online, _ = distill("online", *options)
    recorded, _ = distill("recorded", *options, "TEACHER.REPLAY", "True")
    read, _ = distill("read", *options, "TEACHER.REPLAY", "True")
    assert online == recorded == read
    assert {*ALL} <= online[0].keys()


def test_it_goes_on_within_an_epoch(distill):
    """Stopped after the third of four steps, with an adapter for each of two stages: the same losses to the bit."""
    layers = ["TEACHER.STUDENT_LAYERS", "[stage2, stage4]"]
    whole, result = distill("whole", *layers)
    asked: list[int] = []

    @contextmanager
    def stopping():
        yield lambda: asked.append(1) or len(asked) == 3

    with pytest.raises(Preempted):
        distill("parts", *layers, stopping=stopping)
    rest, resumed = distill("parts", *layers, resume=True)
    assert rest == whole[3:]
    for name, value in result.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


@pytest.mark.parametrize("name", ["videomae", "timesformer"])
def test_a_student_of_a_transformers_tokens(name: str, tiny_overrides: list[str], tmp_path: Path):
    """Beside PCL, against all losses of tokens at once."""
    pytest.importorskip("transformers", reason="the extra `teachers` is not installed")
    write_teacher(name, tmp_path / "teacher")
    trace = Trace()
    options = ["TASK.NAME", "distill", "TEACHER.WEIGHTS", str(tmp_path / "teacher"), "TEACHER.VIEWS", "2"]
    train(load_config(None, [*tiny_overrides, *options, *with_losses(*ALL)]), extra_hooks=(trace,))
    assert {"pretext_loss", "contrast_loss", *ALL} <= trace.losses[0].keys()
    assert trace.losses[-1]["kd_loss"] < trace.losses[0]["kd_loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["TEACHER.STUDENT_LAYERS", "[stage9]"],
            r"STUDENT_LAYERS is \['stage9'\]; it must name stages, .* stem",
        ),
        (["TEACHER.STUDENT_LAYERS", "[stage3]"], r"STUDENT_LAYERS is .* would learn nothing: add stage4, or a loss of"),
        (
            [*with_losses("embedding_distillation"), "TEACHER.STUDENT_LAYERS", "[stage3]"],
            r"STUDENT_LAYERS is \['stage3'\], but none of TEACHER\.LOSSES .* compares maps: choose of token_dist",
        ),
    ],
    ids=["unknown", "only_hints", "no_loss"],
)
def test_mistakes_are_one_line(distill, options: list[str], message: str):
    """They name the key."""
    with pytest.raises(ValueError, match=message) as error:
        distill("run", *options)
    assert "\n" not in str(error.value)
