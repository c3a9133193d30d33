"""Whole steps on fake CUDA tensors, with a count of what would make the host wait for a GPU."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kdvideo.host_copy import HostCopy

aten = torch.ops.aten
# Their results have as many rows as the device finds: the host has to ask.
_OF_UNKNOWN_SIZE = (aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.unique_consecutive)


class Waits(TorchDispatchMode):
    """Counts by kind: what makes the host wait for the device, and copies to the host's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.copies_to_host = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        packet = func.overloadpacket
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        on_gpu = any(value.is_cuda for value in tensors)
        if packet is aten._local_scalar_dense and on_gpu:
            self.waits["a number is looked at"] += 1
            return 1.0 if args[0].is_floating_point() else 1
        if on_gpu and packet in _OF_UNKNOWN_SIZE:
            self.waits[f"size of {packet}"] += 1
        if on_gpu and packet in (aten.index, aten.index_put, aten.index_put_):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            self.waits["size of a mask"] += len(masks)
        if packet is aten._fused_sgd_:  # torch has no fake of it; it writes in place
            return None
        if packet in (aten._to_copy, aten.copy_):
            self._count_copy(func, args, kwargs)
        return func(*args, **kwargs)

    def _count_copy(self, func, args, kwargs) -> None:
        if func.overloadpacket is aten._to_copy:
            source, target, is_async = (
                args[0].device,
                kwargs.get("device") or args[0].device,
                kwargs.get("non_blocking"),
            )
        else:
            source, target = args[1].device, args[0].device
            is_async = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        target = torch.device(target)
        if source.type == target.type:
            return
        self.copies_to_host += target.type == "cpu"
        if not is_async:
            self.waits[f"blocking copy to {target.type}"] += 1


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch, read: list[int]) -> Iterator[None]:
    """Every tensor made in the block is fake. What is read from the device is 1; `read` gets the numbers of values."""

    def pretend(copy: HostCopy) -> SimpleNamespace:
        assert copy._copy.device.type == "cpu"
        read.append(copy._copy.numel())
        return SimpleNamespace(tolist=lambda: [1.0] * copy._copy.numel())

    monkeypatch.setattr(HostCopy, "read", pretend)
    monkeypatch.setattr(torch.cuda, "Event", lambda **_: SimpleNamespace(record=lambda: None))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # also where there is a real one
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(Tensor, "backward", _backward)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def move(whole: nn.Module) -> None:
    """Moves a module to the fake GPU. `Module.to` cannot: a fake tensor of a CPU does not become another in place."""
    for module in whole.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.cuda()
        for name, parameter in module.named_parameters(recurse=False):
            module._parameters[name] = nn.Parameter(parameter.detach().cuda(), requires_grad=parameter.requires_grad)


def _backward(loss: Tensor) -> None:
    """Goes backward through the graph as torch's engine does. The engine itself asks for a driver."""
    users: Counter[Any] = Counter()
    found = [loss.grad_fn]
    for node in found:
        for after, _ in node.next_functions:
            if after is not None:
                users[after] += 1
                if users[after] == 1:
                    found.append(after)
    gradients: dict[Any, dict[int, Tensor]] = {loss.grad_fn: {0: torch.ones_like(loss)}}
    ready = [loss.grad_fn]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            given = gradients.pop(node, {})
            results = node(*(given.get(i) for i in range(len(node._input_metadata)))) if given else ()
            results = results if isinstance(results, tuple) else (results,)
            for (after, place), result in zip_longest(node.next_functions, results):
                if after is None:
                    continue
                if result is not None:
                    result = result.sum_to_size(after._input_metadata[place].shape)
                    sums = gradients.setdefault(after, {})
                    sums[place] = sums[place] + result if place in sums else result
                users[after] -= 1
                if users[after] == 0:
                    ready.append(after)
