"""Builds a network without drawing random weights, because other weights will be loaded into it.

On one core, `python benchmarks/uninitialised.py`: r2plus1d_34 is built in 35 ms instead of 440, r3d_18 in 15 instead of
225, x3d_m in 40 instead of 65. The meta device is no alternative: networks of many small layers take longer on it
(x3d_m 140 ms). Buffers that the state dict lacks would be lost without a message, also those of a user's backbone.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

__all__ = ["Uninitialised"]


class Uninitialised(TorchFunctionMode):
    """Skips the random draws of normal, uniform and Kaiming initialisers in its `with` block and thread.

    Computed buffers keep their values. All weights of the built network must be loaded afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(0)  # torch's own generator stays as it was

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (init.kaiming_uniform_, init.uniform_, init.normal_):
            return args[0] if args else kwargs["tensor"]
        if func is Tensor.normal_:
            return self._fill(*args, **kwargs)
        return func(*args, **kwargs)

    def _fill(self, tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
        """Draws one number for a whole tensor `[...]`. Loops that reject draws, as in `trunc_normal_`, still end."""
        return tensor.fill_(self._random.gauss(mean, std))
