"""A task on several processes: gradients averaged by DDP, BatchNorm's running statistics kept equal."""

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from kdvideo.distributed import world_size
from kdvideo.tasks.task import Task

__all__ = ["average_running_statistics", "check_sync_bn", "parallel", "synchronise_batch_norm", "without_exchange"]


def parallel(task: Task) -> nn.Module:
    """Returns what the trainer calls: the task, or DDP around it in a run of several processes.

    DDP is around the whole task, since its losses exchange projections within the forward. Buffers are not broadcast:
    all ranks update banks and queues alike, and `average_running_statistics` does the rest.
    """
    if world_size() == 1:
        return task
    with warnings.catch_warnings():  # torch 2.14 has a new name for the argument, which 2.9 does not know
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(task, broadcast_buffers=False)


def without_exchange(module: nn.Module) -> AbstractContextManager[None]:
    """Leaves the gradients of what `parallel` gave on their ranks while the block runs, to be added to."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@torch.no_grad()
def average_running_statistics(task: Task) -> None:
    """Gives BatchNorm's running statistics the mean over the ranks; called after each step.

    So every rank has the same task between two steps, and any of them could evaluate it or write it down.
    """
    statistics = [
        buffer
        for module in task.trainable.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) and module.training
        for buffer in (module.running_mean, module.running_var)
        if isinstance(buffer, Tensor)
    ]
    if world_size() == 1 or not statistics:
        return
    flat = torch.cat([buffer.flatten() for buffer in statistics])
    distributed.all_reduce(flat)
    parts = (flat / world_size()).split([buffer.numel() for buffer in statistics])
    for buffer, mean in zip(statistics, parts, strict=True):
        buffer.copy_(mean.view_as(buffer))


def synchronise_batch_norm(model: nn.Module) -> None:
    """Replaces the model's BatchNorms by ones that normalise the batch of all ranks together (not run on a GPU)."""
    nn.SyncBatchNorm.convert_sync_batchnorm(model)


def check_sync_bn(cfg: CfgNode) -> None:
    """Raises ValueError where SOLVER.SYNC_BN asks for what torch has on GPUs only."""
    if cfg.SOLVER.SYNC_BN and not torch.cuda.is_available():
        raise ValueError(
            "SOLVER.SYNC_BN is True, but there is no GPU, and SyncBatchNorm refuses CPU tensors: leave it False"
        )
