"""A training step as one CUDA graph: the GPU gets all its kernels at once, and no small network waits for Python."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, optim

from kdvideo.data.batch import Batch, map_batch
from kdvideo.distributed import world_size
from kdvideo.engine.guards import full_memory
from kdvideo.engine.step import StepOptions, TrainStep
from kdvideo.errors import first_line
from kdvideo.tasks.task import Task
from kdvideo.workers import explain_loss

__all__ = ["GraphedStep", "build_step", "graph_obstacle"]

_NUM_EAGER_STEPS = (
    3  # PyTorch's docs ask for a few, in which libraries choose kernels and the optimizer makes its state
)
_KNOWN = ("kdvideo", "torch", "torchvision", "pytorchvideo")  # packages whose modules keep no state in Python
logger = logging.getLogger("kdvideo")


def build_step(task: Task, *, optimizer: optim.Optimizer, device: torch.device, options: StepOptions) -> TrainStep:
    """Returns the step of a training, as a CUDA graph if the options ask for it and nothing prevents it."""
    if not options.graphed:
        return TrainStep(task, optimizer=optimizer, device=device, options=options)
    obstacle = graph_obstacle(task, device=device, options=options)
    if obstacle is None:
        return GraphedStep(task, optimizer=optimizer, device=device, options=options)
    logger.info("SOLVER.CUDA_GRAPH: the step is no CUDA graph, because %s", obstacle)
    return TrainStep(task, optimizer=optimizer, device=device, options=options)


def graph_obstacle(task: Task, *, device: torch.device, options: StepOptions) -> str | None:
    """Returns why a task's step cannot be a CUDA graph, in words. None if it can.

    A graph repeats kernels on the same memory. It repeats no Python code, and no work of the processor.
    """
    if device.type != "cuda":
        return "there is no GPU"
    if world_size() > 1:
        return "several processes exchange gradients"
    if options.scale_loss:
        return "the scale of fp16's loss changes"
    for name, module in task.named_modules():
        if type(module).__module__.partition(".")[0] not in _KNOWN:
            return (
                f"{name or 'the task'} is a {type(module).__name__} of your own, whose Python code would not run again"
            )
    return None


class GraphedStep(TrainStep):
    """A `TrainStep` whose kernels are recorded once and then replayed as one CUDA graph.

    ::

        step 1 to 3      as written, on the stream of the recording
        step 4           recorded, then replayed; later if queues are not full, or replayed answers are missing
        step 5, ..       the batch is copied to where the recorded kernels read, then they are replayed

    Weights, gradients, the optimizer's state, BatchNorm's statistics and the memory banks stay at their addresses. The
    learning rates are tensors on the device, in all steps, so that a resumed run computes the same. Random numbers
    follow `torch.manual_seed` between two replays.

    Args:
        task: the task, for which `graph_obstacle` returns None.
        optimizer: a fused optimizer.
        device: the GPU.
        options: how the gradients are computed.
    """

    def __init__(self, task: Task, *, optimizer: optim.Optimizer, device: torch.device, options: StepOptions) -> None:
        super().__init__(task, optimizer=optimizer, device=device, options=options)
        self._stream = torch.cuda.Stream(device)
        self._rates = [torch.zeros((), device=device) for _ in optimizer.param_groups]
        self._sent: list[float | None] = [None] * len(self._rates)  # the values of `_rates`
        self._num_eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch, self._results = Batch(), dict[str, Tensor]()  # at the graph's addresses

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Trains on one batch; see `TrainStep`. The next call overwrites the result's values.

        Raises:
            ValueError: the step could not be recorded. Torch's random numbers are not usable in this process any more.
        """
        self._send_rates()
        if self._graph is None and self._num_eager >= _NUM_EAGER_STEPS and self.task.is_steady(batch):
            self._record(batch)
        if self._graph is None or _layout(batch) != _layout(self._batch):
            self._num_eager += 1
            return self._run_as_written(batch)
        for name, value in batch.items():
            if isinstance(value, Tensor):
                self._batch[name].copy_(value, non_blocking=True)  # type: ignore[literal-required]
        self._graph.replay()
        return dict(self._results)

    def _run_as_written(self, batch: Batch) -> dict[str, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), self._rates_on_device():
            results = super().__call__(batch)
        current.wait_stream(self._stream)
        return results

    def _record(self, batch: Batch) -> None:
        self._batch = map_batch(batch, lambda value: value.clone() if isinstance(value, Tensor) else value)
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Other threads pin batches and write checkpoints meanwhile: what they do does not concern the recording.
            with (
                self._rates_on_device(),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._results = super().__call__(self._batch)
        except RuntimeError as error:  # no step can follow: torch's generator stays in the state of a recording
            raise _explain(error) from error.__context__ or error
        finally:
            torch.cuda.set_stream(current)  # a recording that fails may leave its own stream
        self._graph = graph
        logger.info("the step was recorded as a CUDA graph")

    def _send_rates(self) -> None:
        """Brings the groups' learning rates to the device. A rate that stays is not sent again."""
        for number, group in enumerate(self.optimizer.param_groups):
            if group["lr"] != self._sent[number]:
                self._rates[number].fill_(group["lr"])
                self._sent[number] = group["lr"]

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Gives the optimizer its rates as tensors while the block runs. Outside of it, they are numbers."""
        before: list[dict[str, Any]] = []
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            before.append({name: group[name] for name in ("lr", "capturable") if name in group})
            group.update({name: rate if name == "lr" else True for name in before[-1]})
        try:
            yield
        finally:
            for group, values in zip(self.optimizer.param_groups, before, strict=True):
                group.update(values)


def _explain(error: RuntimeError) -> Exception:
    """Returns why a recording failed, in one line. It is `error` if not the step ended it but Ctrl-C, for instance.

    The end of a recording that has failed is an error of its own; its context is what failed.
    """
    cause = error.__context__ or error
    if not isinstance(cause, RuntimeError):
        return error
    if (lost := explain_loss(cause, [])) is not None:  # PyTorch reports a lost worker at whatever line runs
        return lost
    reason = "the GPU is out of memory" if full_memory(cause) else first_line(cause)
    return ValueError(f"SOLVER.CUDA_GRAPH: the step could not be recorded as a CUDA graph ({reason}): set it to False")


def _layout(batch: Batch) -> dict[str, object]:
    return {
        name: (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else None
        for name, value in batch.items()
    }
