"""The average of a student's weights over the steps of a run, often better than those of its last step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """An exponential moving average of a network's weights and of BatchNorm's running statistics (Polyak averaging).

    After t steps it is the mean of all weights so far, each with a share that falls by `decay` with every later step:

        average = sum of decay^(t - s) * weights after step s / sum of decay^(t - s),    s = 1 .. t

    So the initial weights have no share, and a short run is averaged as well as a long one. Adam corrects its moments
    in the same way. Running statistics describe the activations of the weights with which they were measured, so they
    are averaged alike. Whole numbers, as BatchNorm's count of steps, are the network's current ones.

    Nothing waits for the device, and all tensors stay where they are, so a CUDA graph can record an update.

    Args:
        network: the student on its device. Its tensors must stay at their addresses.
        decay: in (0, 1).
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        self._network = network
        self._decay = decay
        state = network.state_dict()
        self._names = [name for name, value in state.items() if value.is_floating_point()]
        self._current = [state[name] for name in self._names]
        self._average = [value.clone() for value in self._current]
        self._norm = torch.zeros(
            (), dtype=torch.float64, device=self._current[0].device
        )  # sum of the shares, * 1-decay

    @torch.no_grad()
    def update(self) -> None:
        """Adds the network's current weights. It is called once after each step."""
        self._norm.mul_(self._decay).add_(1 - self._decay)
        differences = torch._foreach_sub(self._current, self._average)
        torch._foreach_mul_(differences, ((1 - self._decay) / self._norm).float())
        torch._foreach_add_(self._average, differences)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the network's state dict with the average in it."""
        return {**self._network.state_dict(), **dict(zip(self._names, self._average, strict=True))}

    def progress(self) -> dict[str, Any]:
        """Returns what `load` needs besides `state_dict`."""
        return {"trained": dict(self._network.state_dict()), "norm": self._norm}

    def load(self, state: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Continues from the results of `state_dict` and `progress`, and gives the network the trained weights."""
        self._network.load_state_dict(progress["trained"])
        self._norm.copy_(progress["norm"])
        for name, value in zip(self._names, self._average, strict=True):
            value.copy_(state[name])

    def give(self) -> None:
        """Gives the network the averaged weights, for good."""
        self._set(self._average)

    @contextmanager
    def given(self) -> Iterator[None]:
        """Gives the network the averaged weights while the block runs, and then the trained ones back, to the bit."""
        trained = [value.clone() for value in self._current]
        self._set(self._average)
        try:
            yield
        finally:
            self._set(trained)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for current, value in zip(self._current, values, strict=True):
            current.copy_(value)
