"""Which steps cannot be CUDA graphs, and that a request for one says why. tests/gpu has the graphs themselves."""

import logging

import pytest
import torch
from torch import nn
from toy_trainer import make_trainer

from kdvideo.data.batch import Batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.graph import _explain, build_step, graph_obstacle
from kdvideo.engine.step import StepOptions, TrainStep
from kdvideo.losses import BankNCE, QueueNCE
from kdvideo.models.pcl import build_backbone, build_pcl_model
from kdvideo.tasks import PCLTask
from kdvideo.workers import WorkerLost

CUDA = torch.device("cuda")


def make_task(contrast: nn.Module) -> PCLTask:
    backbone = build_backbone("r3d_10", width=4, clip_spec=ClipSpec(clip_len=4, size=32))
    return PCLTask(build_pcl_model(backbone), contrast=contrast)


class Counting(nn.ReLU):
    """Has a state in Python, which a graph would not change."""


def test_what_prevents_a_graph():
    """A step with kdvideo's own parts can be one on a GPU; each obstacle is said in words."""
    task, options = make_task(BankNCE(num_videos=8)), StepOptions(graphed=True)
    assert graph_obstacle(task, device=CUDA, options=options) is None
    assert graph_obstacle(task, device=torch.device("cpu"), options=options) == "there is no GPU"
    scaled = graph_obstacle(task, device=CUDA, options=StepOptions(graphed=True, scale_loss=True))
    assert scaled == "the scale of fp16's loss changes"
    assert graph_obstacle(make_task(QueueNCE(length=4)), device=CUDA, options=options) is None
    task.trainable.backbone.blocks[0] = nn.Sequential(task.trainable.backbone.blocks[0], Counting())
    own = graph_obstacle(task, device=CUDA, options=options)
    assert own is not None
    assert own.startswith("trainable.backbone.blocks.0.1 is a Counting of your own")


def test_a_queue_is_steady_when_it_is_full():
    """Until then, its rows have another shape in each step."""
    task = make_task(QueueNCE(length=4, dim=8)).train()
    steady = []
    for number in range(3):
        steady.append(task.is_steady(Batch()))
        task.contrast(torch.ones(2, 2, 8), torch.arange(2) + 2 * number)
    assert [*steady, task.is_steady(Batch())] == [False, False, True, True]
    other = make_task(QueueNCE(length=4, dim=8))
    other.load_task_state(task.task_state())
    assert other.is_steady(Batch())


def test_without_a_gpu_the_step_runs_as_written(caplog: pytest.LogCaptureFixture):
    """A config may ask for a graph everywhere."""
    caplog.set_level(logging.INFO, logger="kdvideo")
    trainer = make_trainer()
    options = StepOptions(graphed=True)
    step = build_step(trainer.task, optimizer=trainer.optimizer, device=torch.device("cpu"), options=options)
    assert type(step) is TrainStep
    assert "the step is no CUDA graph, because there is no GPU" in caplog.text


def fail_twice(error: BaseException) -> RuntimeError:
    """The error of a recording's end, after one in the step."""
    try:
        try:
            raise error
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")
    except RuntimeError as last:
        return last


def test_why_a_recording_failed():
    """In one line, what the step did, not that the recording's end failed, too. Ctrl-C is no such reason."""
    synchronized = "CUDA error: operation not permitted when stream is capturing"
    for error, reason in (
        (RuntimeError(f"{synchronized}\nCompile with TORCH_USE_CUDA_DSA"), synchronized),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."), "the GPU is out of memory"),
    ):
        for failed in (error, fail_twice(error)):
            explained = _explain(failed)
            assert isinstance(explained, ValueError)
            assert f"could not be recorded as a CUDA graph ({reason}): set" in str(explained)
    stopped = fail_twice(KeyboardInterrupt())
    assert _explain(stopped) is stopped


def test_a_worker_lost_while_recording():
    """It is said as elsewhere: the recording is not to blame."""
    killed = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    for error in (killed, fail_twice(killed)):
        explained = _explain(error)
        assert isinstance(explained, WorkerLost)
        assert "a process that reads videos was killed" in str(explained)
