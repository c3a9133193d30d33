"""Building a network whose weights are about to be loaded, without drawing random ones first."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

__all__ = ["Uninitialised"]

_PATIENCE = 1000


class Uninitialised(TorchFunctionMode):
    """Within it, normal and Kaiming initialisers and those of convolutions and linear layers draw nothing.

    Buffers that are computed keep their values, unlike on the meta device, where those that are not in the state dict
    would be lost. What is built has to be filled completely.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[Any, ...] = ()
        self._repeats = 0

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
        if func is torch.Tensor.normal_ and self._may_skip(*args, **kwargs):
            mean = args[1] if len(args) > 1 else kwargs.get("mean", 0.0)
            return args[0].fill_(mean)  # within the bounds of `trunc_normal_`, which draws again until all are
        return func(*args, **kwargs)

    def _may_skip(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> bool:
        """Not for ever the same: a loop that waits for other numbers has to end."""
        call = (tensor.shape, args, tuple(kwargs.items()))
        self._repeats = self._repeats + 1 if call == self._last else 0
        self._last = call
        return self._repeats < _PATIENCE
