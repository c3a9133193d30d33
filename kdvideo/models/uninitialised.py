"""Building a network whose weights are about to be loaded, without drawing random ones first."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Uninitialised"]

# The draws of torch.nn.init, and what fvcore's and PyTorchVideo's initialisers end in.
_DRAWS = frozenset(
    f"{name}_"
    for name in (
        *("normal", "uniform", "trunc_normal", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"),
        *("orthogonal", "sparse", "erfinv"),
    )
)


class Uninitialised(TorchFunctionMode):
    """Within it, in-place random draws leave tensors as they are allocated.

    Buffers that are computed keep their values, unlike on the meta device, where those that are not in the state dict
    would be lost. What is built has to be filled completely.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            assert isinstance(tensor, torch.Tensor)
            return tensor
        return func(*args, **kwargs)
