"""Gradient checkpointing: parts of a network that compute their activations again in the backward pass."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["set_recomputing"]


def set_recomputing(parts: Iterable[nn.Module], enable: bool) -> None:
    """Makes each part keep its input alone for the backward pass, or undoes that.

    Outputs, gradients and the running statistics of BatchNorm stay the same.
    """
    for part in parts:
        if enable:
            part.forward = partial(_recomputed, part)
        else:
            part.__dict__.pop("forward", None)


def _recomputed(part: nn.Module, *args: Any) -> Any:
    forward = partial(type(part).forward, part)
    if not torch.is_grad_enabled():
        return forward(*args)
    again = partial(_without_statistics, part)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), again()))


@contextmanager
def _without_statistics(part: nn.Module) -> Iterator[None]:
    """Keeps the running statistics as they are: the first pass has counted this batch."""
    norms: list[Any] = [module for module in part.modules() if getattr(module, "num_batches_tracked", None) is not None]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
