"""A step as a CUDA graph against the same steps as they are written."""

import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import nn, optim

from kdvideo.config import get_defaults
from kdvideo.data.batch import Batch, map_batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.graph import GraphedStep
from kdvideo.engine.optim import build_optimizer
from kdvideo.engine.precision import prepare_frozen, prepare_student
from kdvideo.engine.step import StepOptions, TrainStep
from kdvideo.losses import BankNCE, ContrastiveLoss, LogitDistillation, QueueNCE
from kdvideo.models.pcl import PCLModel, build_backbone, build_pcl_model
from kdvideo.tasks import DistillTask, FrozenTeacher, Lesson
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.task import Task

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CLIP = ClipSpec(clip_len=8, size=32)
TUPLES, VIDEOS, STEPS = 4, 32, 8
RATES = [2**-7, 2**-7, 2**-8, 2**-6, 2**-7, 2**-7, 2**-9, 2**-7]  # exact in float32, as the graph holds them


@pytest.fixture(autouse=True)
def _deterministic():
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def make_model(width: int) -> PCLModel:
    return build_pcl_model(build_backbone("r3d_10", width=width, clip_spec=CLIP)).to(
        memory_format=torch.channels_last_3d
    )


def make_step(
    kind: type[TrainStep],
    *,
    solver: str,
    amp: str,
    dropout: bool = False,
    accumulate: int = 1,
    contrast: ContrastiveLoss | None = None,
    replay: ReplayStore | None = None,
) -> TrainStep:
    """A distillation step, with banks if nothing else is said, weights drawn from seed 0."""
    torch.manual_seed(0)
    cfg = get_defaults()
    cfg.SOLVER.merge_from_list(["OPTIMIZER", solver, "AMP", amp, "BATCH_SIZE", TUPLES])
    student, teacher = make_model(16), make_model(8)
    if dropout:
        student.backbone.blocks.append(nn.Dropout(0.5))
    prepare_frozen(teacher, torch.bfloat16 if amp == "bf16" else torch.float32)
    lesson = Lesson(
        FrozenTeacher(teacher, clip_spec=CLIP),
        losses={"logit_distillation": (1.0, LogitDistillation())},
        student_dim=student.backbone.num_features,
        replay=replay,
    )
    contrast = BankNCE(num_videos=VIDEOS, num_negatives=8) if contrast is None else contrast
    task = DistillTask(student, contrast=contrast, lessons=[lesson]).to("cuda")
    prepare_student(student.backbone, cfg, device=torch.device("cuda"))
    optimizer = build_optimizer(cfg, task.trainable, backbone=student.backbone)
    options = StepOptions(clip_gradients=1.0, accumulate=accumulate, graphed=kind is GraphedStep)
    return kind(task.train(), optimizer=optimizer, device=torch.device("cuda"), options=options)


def make_batch(number: int, tuples: int = TUPLES) -> Batch:
    generator = torch.Generator().manual_seed(number)
    return Batch(
        clips=torch.randint(0, 256, (tuples, 3, 3, 8, 32, 32), dtype=torch.uint8, generator=generator),
        pretext_label=torch.randint(0, 5, (tuples,), generator=generator),
        index=torch.randperm(VIDEOS, generator=generator)[:tuples],
        epoch=torch.full((tuples,), number),
        negatives=torch.randint(0, VIDEOS, (tuples, 8), generator=generator),
    )


def take_steps(step: TrainStep, *, tuples: dict[int, int] | None = None) -> list[dict[str, float]]:
    """The numbers of all steps, each with its own batch, rate and seed."""
    lines = []
    for number, rate in enumerate(RATES):
        for group in step.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(number)
        batch = step.task.complete_batch(make_batch(number, (tuples or {}).get(number, TUPLES)))
        results = step(map_batch(batch, lambda value: value.cuda() if isinstance(value, torch.Tensor) else value))
        lines.append({name: value.item() for name, value in results.items()})
    return lines


def all_state(task: Task, optimizer: optim.Optimizer) -> dict[str, torch.Tensor]:
    state = {**task.trainable.state_dict(), **task.task_state()}
    for number, values in optimizer.state_dict()["state"].items():
        state |= {f"{number}.{name}": value for name, value in values.items() if isinstance(value, torch.Tensor)}
    return state


def compare(graphed: TrainStep, written: TrainStep) -> None:
    """All weights, statistics, banks and the optimizer's state, to the bit."""
    assert graphed._graph is not None  # otherwise the test would compare the step with itself
    ours, expected = (all_state(step.task, step.optimizer) for step in (graphed, written))
    assert ours.keys() == expected.keys()
    different = [name for name, value in ours.items() if not torch.equal(value, expected[name])]
    assert not different


@pytest.mark.parametrize("solver", ["sgd", "adamw"])
@pytest.mark.parametrize("amp", ["fp32", "bf16"])
def test_a_graph_computes_the_same(solver: str, amp: str):
    """Eight steps, five of them replayed, at changing rates: numbers, weights, banks and momentum to the bit."""
    graphed, written = (make_step(kind, solver=solver, amp=amp) for kind in (GraphedStep, TrainStep))
    lines = [take_steps(step) for step in (graphed, written)]
    assert lines[0] == lines[1]
    compare(graphed, written)
    assert {type(group["lr"]) for group in graphed.optimizer.param_groups} == {float}


def test_accumulated_parts():
    """All parts are in the graph."""
    graphed, written = (make_step(kind, solver="sgd", amp="bf16", accumulate=2) for kind in (GraphedStep, TrainStep))
    assert take_steps(graphed) == take_steps(written)
    compare(graphed, written)


def test_full_queues_and_replayed_answers(tmp_path: Path):
    """Queues are written where they are, and answers come with the batch; the first steps fill queues and store."""
    store = ReplayStore(tmp_path, {}, shapes={"pretext_logits": (5,)}, num_epochs=STEPS, num_videos=VIDEOS)
    written, graphed = (
        make_step(kind, solver="sgd", amp="bf16", contrast=QueueNCE(length=2 * TUPLES), replay=store)
        for kind in (TrainStep, GraphedStep)
    )
    lines = take_steps(written)
    store.flush()
    assert take_steps(graphed) == lines
    compare(graphed, written)


def test_dropout_follows_the_seed():
    """A replay draws what `torch.manual_seed` says before it, as the step as written does."""
    graphed, written = (make_step(kind, solver="sgd", amp="fp32", dropout=True) for kind in (GraphedStep, TrainStep))
    assert take_steps(graphed) == take_steps(written)
    compare(graphed, written)


def test_a_batch_of_another_size_runs_as_written():
    """The graph stays, and the next batch of its size is replayed."""
    graphed, written = (make_step(kind, solver="sgd", amp="fp32") for kind in (GraphedStep, TrainStep))
    tuples = {5: 2}
    assert take_steps(graphed, tuples=tuples) == take_steps(written, tuples=tuples)
    compare(graphed, written)


def test_a_state_goes_on_from_a_graph():
    """A run that is resumed records its graph anew, and computes the same."""
    whole, first = (make_step(GraphedStep, solver="sgd", amp="bf16") for _ in range(2))
    take_steps(whole)
    lines = take_steps(whole)
    take_steps(first)
    second = make_step(GraphedStep, solver="sgd", amp="bf16")
    second.task.trainable.load_state_dict(first.task.trainable.state_dict())
    second.task.load_task_state(first.task.task_state())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert take_steps(second) == lines
    compare(second, whole)


def fail_to_record(folder: Path) -> None:
    """Trains a step that waits for the GPU, and writes what the recording says of it."""
    step = make_step(GraphedStep, solver="sgd", amp="fp32")
    forward = step.task.forward
    step.task.forward = lambda batch: (batch["index"].sum().item(), forward(batch))[1]  # type: ignore[method-assign]
    try:
        take_steps(step)
    except ValueError as error:
        (folder / "said").write_text(str(error))


def test_what_cannot_be_recorded_ends_the_run(tmp_path: Path):
    """In one line. The process is its own, because a failed recording leaves a generator that draws nothing more."""
    process = multiprocessing.get_context("spawn").Process(target=fail_to_record, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    said = (tmp_path / "said").read_text()
    assert said.startswith("SOLVER.CUDA_GRAPH: the step could not be recorded as a CUDA graph (")
    assert said.endswith("): set it to False")
    assert "\n" not in said
