"""Runs a task on several processes. DDP averages gradients, and BatchNorm's running statistics are kept equal."""

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from kdvideo.distributed import world_size
from kdvideo.tasks.task import Task

__all__ = ["average_running_statistics", "parallel", "synchronise_batch_norm", "without_exchange"]


def parallel(task: Task) -> nn.Module:
    """Returns the module that the trainer calls: the task, or a DDP wrapper if the run has several processes.

    DDP wraps the whole task, because its losses exchange projections during the forward. Buffers are not broadcast: all
    ranks update banks and queues in the same way, and `average_running_statistics` handles BatchNorm.
    """
    if world_size() == 1:
        return task
    with warnings.catch_warnings():  # torch 2.14 has a new name for the argument, which 2.9 does not have
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(task, broadcast_buffers=False)


def without_exchange(module: nn.Module) -> AbstractContextManager[None]:
    """Leaves the gradients of `parallel`'s result on each rank while the block runs, so that they add up."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@torch.no_grad()
def average_running_statistics(task: Task) -> None:
    """Sets BatchNorm's running statistics to their mean over the ranks. It is called after each step.

    As a result, every rank has the same task between two steps, and any rank could evaluate or save it.
    """
    if world_size() == 1:
        return
    statistics = [
        buffer
        for module in task.trainable.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) and module.training
        for buffer in (module.running_mean, module.running_var)
        if isinstance(buffer, Tensor)
    ]
    if not statistics:
        return
    flat = torch.cat([buffer.flatten() for buffer in statistics])
    distributed.all_reduce(flat)
    parts = (flat / world_size()).split([buffer.numel() for buffer in statistics])
    for buffer, mean in zip(statistics, parts, strict=True):
        buffer.copy_(mean.view_as(buffer))


def synchronise_batch_norm(model: nn.Module) -> None:
    """Replaces the model's BatchNorms by ones that normalise over the batch of all ranks (not tested on a GPU)."""
    nn.SyncBatchNorm.convert_sync_batchnorm(model)
