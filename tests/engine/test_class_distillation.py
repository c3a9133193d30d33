"""Classes learnt from a teacher: beside labels, without any, and from unlabelled videos beside labelled ones."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from traces import STORED, Run, traced_runs, train_teacher

import kdvideo
from kdvideo.config import load_config
from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.stop import Preempted
from kdvideo.engine.teach import teach
from kdvideo.inference.predict import Predictor
from kdvideo.inference.videos import list_videos
from kdvideo.models.pcl import ClassificationModel
from kdvideo.tasks import FrozenTeacher
from kdvideo.zoo.publish import publish


@pytest.fixture
def run(tiny_overrides: list[str], tmp_path: Path) -> Run:
    """Runs TASK.NAME supervised: its trace of scalars, and its result."""
    return traced_runs([*tiny_overrides, "TASK.NAME", "supervised"], tmp_path)


@pytest.fixture
def teacher(tiny_overrides: list[str]) -> list[str]:
    """Overrides of a run with a finetuned classifier of the dataset's classes, which takes other clips, as teacher."""
    own = ["TASK.NAME", "supervised", "CLIP.LENGTH", "4", "ZOO.PUBLISH_AS", "t.classes"]
    return train_teacher(tiny_overrides, *own)[-2:]


@pytest.fixture
def folder(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A folder of the dataset's videos whose names tell no classes."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, path in enumerate(list_videos([tiny_dataset])):
        (folder / f"{i}{path.suffix}").symlink_to(path)
    return folder


def test_beside_labels(run: Run, teacher: list[str]):
    """Both losses are added, and a student without a teacher has the labels' alone."""
    losses, result = run("both", *teacher, "TEACHER.LOSS_WEIGHTS", "[0.5]")
    for step in losses:
        assert step["loss"] == pytest.approx(step["label_loss"] + 0.5 * step["logit_distillation"], rel=1e-6)
        assert {"train_accuracy", "teacher_agreement"} <= step.keys()
    assert "video_accuracy_3clip" in result.metrics
    alone, _ = run("alone")
    assert set(alone[0]) == {"loss", "train_accuracy", "grad_norm"}


def test_the_teachers_answers_are_its_own(run: Run, teacher: list[str], monkeypatch: pytest.MonkeyPatch):
    """The loss of the first step, computed again from what the networks answer by themselves."""
    seen: list[torch.Tensor] = []
    answer = FrozenTeacher.answer

    def listen(self, prepared):
        outputs = answer(self, prepared)
        seen.extend([self.model(prepared[:, 0]), outputs["class_logits"][:, 0]])
        return outputs

    monkeypatch.setattr(FrozenTeacher, "answer", listen)
    run("run", *teacher, "SOLVER.EPOCHS", "1")
    assert len(seen) == 4
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-5, atol=1e-5)


@STORED
def test_stored_answers_are_the_computed(run: Run, teacher: list[str], options: list[str]):
    """A run that reads its teacher's classes has the numbers of the run that computed them, bit by bit."""
    both = ["TEACHER.LOSSES", "[logit_distillation, dist, embedding_distillation]", "TEACHER.LOSS_WEIGHTS", "[1, 1, 1]"]
    computed, _ = run("computed", *teacher, *both, *options)
    read, _ = run("read", *teacher, *both, *options)
    assert computed == read


def test_views_are_answered_beforehand(run: Run, teacher: list[str], tiny_overrides: list[str], monkeypatch):
    """`kdvideo teach` fills the store that a run reads: its teacher sees nothing."""
    options = [*teacher, "TEACHER.VIEWS", "2", "TASK.NAME", "supervised"]
    [taught] = teach(load_config(None, [*tiny_overrides, *options]))
    assert (taught.num_missing, dict(taught.store.shapes)) == (0, {"class_logits": (6,)})
    monkeypatch.setattr(FrozenTeacher, "answer", lambda *_: pytest.fail("the teacher was asked again"))
    run("read", *options)


def test_it_goes_on_within_an_epoch(run: Run, teacher: list[str]):
    """Stopped after the third of four steps: the same numbers to the bit, the queue of a feature loss among them."""
    both = ["TEACHER.LOSSES", "[logit_distillation, queue_distillation]", "TEACHER.LOSS_WEIGHTS", "[1, 1]"]
    whole, _ = run("whole", *teacher, *both)
    asked: list[int] = []

    @contextmanager
    def stopping():
        yield lambda: asked.append(1) or len(asked) == 3

    with pytest.raises(Preempted):
        run("parts", *teacher, *both, stopping=stopping)
    rest, _ = run("parts", *teacher, *both, resume=True)
    assert rest == whole[3:]


def test_from_a_folder_without_labels(run: Run, teacher: list[str], folder: Path, tmp_path: Path, tiny_overrides):
    """The student's entry names the teacher's classes; `predict` answers with them, `eval` measures it by them."""
    run("pretrained", "SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "s.start")
    result = kdvideo.distill(
        teacher="t.classes",
        student="r3d_10",
        data=folder,
        out=tmp_path / "student",
        TASK={"NAME": "supervised"},
        MODEL={"WIDTH": 4, "WEIGHTS": "s.start"},
        CLIP={"LENGTH": 8, "SIZE": 32, "MODALITY": "residual"},
        SOLVER={"EPOCHS": 1, "BATCH_SIZE": 6},
        DATA={"SHORT_SIDE": 36, "NUM_WORKERS": 0},
        ZOO={"DIR": str(tmp_path / "zoo"), "PUBLISH_AS": "s.classes"},
    )
    assert isinstance(result.model, ClassificationModel)
    entry = result.entry
    assert entry is not None
    assert len(entry.classes) == 6
    assert (entry.metrics, entry.teacher["name"]) == ({}, "t.classes")
    (line,) = RunFolder(tmp_path / "student").epochs()
    assert line["loss"] == line["kd_loss"] == line["logit_distillation"]
    assert "train_accuracy" not in line
    (weights,) = (tmp_path / "zoo" / "weights").glob("s.classes*")
    (answer,) = Predictor(str(weights))([next(folder.iterdir())], top=6)
    assert {score.class_name for score in answer.best} == set(entry.classes)
    measured = evaluate(load_config(None, [*tiny_overrides, "MODEL.WEIGHTS", "s.classes"])).metrics
    assert 0 <= measured["video_accuracy_3clip"] <= 1


def test_unlabelled_beside_labelled_videos(run: Run, teacher: list[str], folder: Path, tiny_overrides: list[str]):
    """One sample per video of either kind; those without a label add to the teacher's loss alone."""
    options = [*teacher, "DATA.UNLABELLED_ROOT", str(folder), "TEACHER.VIEWS", "1"]
    losses, result = run("mixed", *options, "ZOO.PUBLISH_AS", "s.mixed", "SOLVER.EPOCHS", "1")
    assert len(losses) == 5  # 12 labelled and 18 others in batches of 6
    assert result.entry.dataset.endswith("30 training videos, 18 of them without labels from videos")
    assert "video_accuracy_3clip" in result.metrics
    teach(load_config(None, [*tiny_overrides, *options, "TASK.NAME", "supervised"]))
    again, _ = run("again", *options, "SOLVER.EPOCHS", "1")
    assert again == losses


def test_classes_in_another_order(run: Run, teacher: list[str], tmp_path: Path):
    """A teacher whose outputs are in another order, with their names, teaches the same."""
    model, _ = kdvideo.zoo.load.load_model("t.classes", zoo=tmp_path / "zoo")
    entry = kdvideo.zoo.sources.find_entry("t.classes", zoo=tmp_path / "zoo").entry
    order = [3, 0, 5, 1, 4, 2]
    model.head.load_state_dict({name: value[order] for name, value in model.head.state_dict().items()})
    facts = kdvideo.zoo.entry.Facts(
        metrics={},
        protocol="",
        teacher=None,
        dataset="",
        config="",
        source="",
        licence="unspecified",
        classes=[entry.classes[place] for place in order],
    )
    publish(model, "t.sorted", zoo=kdvideo.zoo.folder.Zoo(tmp_path / "zoo"), spec=entry.model, facts=facts)
    losses, _ = run("one", *teacher)
    others, _ = run("other", "TEACHER.WEIGHTS", "t.sorted")
    for step, other in zip(losses, others, strict=True):
        assert step["logit_distillation"] == pytest.approx(other["logit_distillation"], rel=1e-4)


UNLABELLED = ["DATA.NAME", "unlabelled"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["TEACHER.WEIGHTS", "t.pcl"], r"TEACHER\.WEIGHTS t\.pcl has no classes, which TEACHER\.LOSSES .* compare"),
        (
            ["TEACHER.WEIGHTS", "t.pcl", "TEACHER.LOSSES", "[embedding_distillation]", *UNLABELLED],
            r"has videos without one, and TEACHER\.WEIGHTS t\.pcl knows none: choose a classifier",
        ),
        (
            ["TEACHER.WEIGHTS", "t.classes", "TEACHER.LOSSES", "[embedding_distillation]", *UNLABELLED],
            r"which compare no classes, and no training video has one: add logit_distillation",
        ),
        (
            ["TEACHER.WEIGHTS", "t.classes", "DATA.VALIDATION_SHARE", "0.5", *UNLABELLED],
            r"DATA\.VALIDATION_SHARE is 0\.5, but videos without classes cannot choose an epoch: set it to 0",
        ),
        (UNLABELLED, r"has videos without one: choose a labelled dataset, TASK\.NAME pcl, or a classifier as TEACHER"),
        (["TEACHER.VIEWS", "2"], r"TASK\.NAME supervised has no teacher: set TEACHER\.WEIGHTS, or set it to 0"),
        (["DATA.UNLABELLED_ROOT", "/videos"], r"DATA\.UNLABELLED_ROOT is set, but TASK\.NAME supervised learns no"),
        (
            ["TEACHER.WEIGHTS", "t.classes", "DATA.UNLABELLED_ROOT", "/nowhere"],
            r"DATA\.UNLABELLED_ROOT /nowhere is not a folder",
        ),
    ],
    ids=["pcl", "pcl_unlabelled", "features", "held_out", "no_teacher", "views", "unlabelled_root", "no_folder"],
)
def test_mistakes_are_one_line(run: Run, teacher: list[str], options: list[str], message: str):
    """Before the first step."""
    if "t.pcl" in options:
        run("pcl", "TASK.NAME", "pcl", "ZOO.PUBLISH_AS", "t.pcl", "SOLVER.EPOCHS", "1")
    with pytest.raises(ValueError, match=message) as error:
        run("student", *options)
    assert "\n" not in str(error.value)
