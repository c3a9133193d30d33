"""One optimizer step on the device. Nothing in it waits for the device, so the host can run ahead."""

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor, nn, optim

from kdvideo.data.batch import Batch, batch_size, map_batch
from kdvideo.engine.average import WeightAverage
from kdvideo.engine.parallel import average_running_statistics, parallel, without_exchange
from kdvideo.tasks.task import Task

__all__ = ["GRAD_NORM", "LOSS_SCALE", "StepOptions", "TrainStep"]

GRAD_NORM = "grad_norm"
LOSS_SCALE = "loss_scale"


@dataclass(frozen=True)
class StepOptions:
    """How a step computes its gradients.

    Attributes:
        clip_gradients: largest norm of the whole gradient. 0 disables clipping.
        accumulate: number of equal parts of a batch that go through the task one by one. Their gradients are averaged.
        scale_loss: whether the loss is scaled, which fp16 needs.
        graphed: whether the step runs as a CUDA graph where it can; see `kdvideo.engine.graph`.
        average: decay of an average of the student's weights; see `WeightAverage`. 0 for none.
    """

    clip_gradients: float = 0.0
    accumulate: int = 1
    scale_loss: bool = False
    graphed: bool = False
    average: float = 0.0


def knows_at_once(device: torch.device) -> bool:
    """Tells whether a look at a number waits for nothing."""
    return device.type == "cpu"


class TrainStep:
    """Forward, backward, clipping and the optimizer's step, as one function of a batch on the device.

    Its operations depend on shapes alone, never on a tensor's values. So no call waits for the device, with one
    exception: fp16 with an optimizer that is not fused. On a CPU, an update that is not finite is left out.

    Args:
        task: the task.
        optimizer: the optimizer of the task's `trainable`.
        device: the task's device.
        options: how the gradients are computed.

    Attributes:
        forward: the task, or DDP around it.
        scaler: scales fp16's loss. Without `scale_loss`, it does nothing.
        average: the average of the student's weights over the steps, if the options ask for it.
    """

    def __init__(self, task: Task, *, optimizer: optim.Optimizer, device: torch.device, options: StepOptions) -> None:
        self.task = task
        self.forward = parallel(task)
        self.optimizer = optimizer
        self.device = device
        self.options = options
        self.scaler = torch.amp.GradScaler(device.type, enabled=options.scale_loss)
        self.average = WeightAverage(task.student, decay=options.average) if options.average else None

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Trains on one batch.

        Args:
            batch: the batch on the device, as the task takes it.

        Returns:
            Scalars of this rank on the device, float64: the task's, averaged over the parts; `GRAD_NORM`; and
            `LOSS_SCALE` where the loss is scaled, as it is after the step.
        """
        scalars = self._compute_gradients(batch)
        scalars[GRAD_NORM] = self._clip().double()
        if not self._is_spoilt(scalars):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.scaler.is_enabled():
            scalars[LOSS_SCALE] = self.scaler.scale(torch.ones_like(scalars[GRAD_NORM]))
        average_running_statistics(self.task)
        if self.average is not None:
            self.average.update()
        return scalars

    def _is_spoilt(self, scalars: Mapping[str, Tensor]) -> bool:
        """Tells whether the update would spoil the weights, where that can be known. The trainer then ends."""
        if not knows_at_once(self.device) or self.scaler.is_enabled():  # fp16's scaler looks itself
            return False
        return not all(math.isfinite(scalars[name]) for name in ("loss", GRAD_NORM))

    def _compute_gradients(self, batch: Batch) -> dict[str, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        num_parts = self.options.accumulate
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(_split(batch, num_parts), start=1):
            # Ranks exchange gradients once per step, with the last part.
            with without_exchange(self.forward) if number < num_parts else nullcontext():
                outputs: Mapping[str, Tensor] = self.forward(part)
                loss = _find_loss(outputs, self.forward)
                self.scaler.scale(loss / num_parts).backward()
            for name, value in outputs.items():
                share = value.detach().to(loss.device, torch.float64).reshape(()) / num_parts  # `[1]` is a scalar, too
                sums[name] = sums[name] + share if name in sums else share
        return sums

    def _clip(self) -> Tensor:
        """Returns the norm of the gradient, `[]`, and clips it afterwards."""
        self.scaler.unscale_(self.optimizer)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return nn.utils.clip_grad_norm_(parameters, self.options.clip_gradients or math.inf)


def _find_loss(outputs: Mapping[str, Tensor], forward: nn.Module) -> Tensor:
    if "loss" not in outputs:
        task = type(getattr(forward, "module", forward)).__name__  # DistributedDataParallel's
        raise ValueError(f"{task} gives {', '.join(outputs)} and no loss: its forward has to return one to minimise")
    return outputs["loss"]


def _split(batch: Batch, num_parts: int) -> Iterator[Batch]:
    """Yields equal parts of a batch. Tensors `[B, ...]` and lists are both split."""
    size = batch_size(batch) // num_parts
    for start in range(0, num_parts * size, size):
        yield map_batch(batch, itemgetter(slice(start, start + size)))
