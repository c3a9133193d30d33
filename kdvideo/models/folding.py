"""Folds BatchNorm into the convolutions of networks that are not trained any more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

__all__ = ["find_foldable", "fold_batch_norm", "refresh_folded"]

_FITTING: tuple[tuple[type[nn.Module], type[nn.Module]], ...] = (
    (nn.Conv1d, nn.BatchNorm1d),
    (nn.Conv2d, nn.BatchNorm2d),
    (nn.Conv3d, nn.BatchNorm3d),
)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tells whether a module is traced as a whole. This includes convolutions derived from torch's."""
        return isinstance(m, tuple(conv for conv, _ in _FITTING)) or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norm(module: nn.Module) -> int:
    """Folds each BatchNorm that `find_foldable` finds into its convolution, in place.

    Args:
        module: the network, in eval mode.

    Returns:
        The number of folded BatchNorms.
    """
    pairs = find_foldable(module)
    for conv, norm in pairs:
        fused = fuse_conv_bn_eval(module.get_submodule(conv), module.get_submodule(norm))  # type: ignore[type-var, arg-type]
        module.set_submodule(conv, fused)
        module.set_submodule(norm, nn.Identity())
    return len(pairs)


def find_foldable(module: nn.Module) -> list[tuple[str, str]]:
    """Finds each BatchNorm that is the only successor of a convolution.

    A symbolic trace tells which module follows which, since a network need not apply its parts in the order in which it
    holds them. If a network cannot be traced, its parts are tried one by one.

    Args:
        module: the network, in eval mode.

    Returns:
        The names of each such convolution and of its BatchNorm.
    """
    assert not module.training
    try:
        graph = _Tracer().trace(module)
    except Exception:  # the network's Python code may raise anything for a tensor without values
        return [
            (f"{name}.{conv}", f"{name}.{norm}")
            for name, child in module.named_children()
            for conv, norm in find_foldable(child)
        ]
    calls = [node for node in graph.nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    pairs = []
    for node in calls:
        before = node.args[0]
        if before not in calls or len(before.users) > 1 or max(map(targets.count, (node.target, before.target))) > 1:
            continue
        if _fit(module.get_submodule(before.target), module.get_submodule(node.target)):
            pairs.append((before.target, node.target))
    return pairs


@torch.no_grad()
def refresh_folded(folded: nn.Module, source: nn.Module, pairs: Sequence[tuple[str, str]]) -> None:
    """Copies a network's weights into its folded copy, which is as if it had been folded anew.

    Args:
        folded: a copy that `fold_batch_norm` has changed. Its tensors keep their types and their memory.
        source: the network itself.
        pairs: what `find_foldable` found in the copy before.
    """
    values = source.state_dict()
    for conv, norm in pairs:
        values[f"{conv}.weight"], values[f"{conv}.bias"] = _fuse(source.get_submodule(conv), source.get_submodule(norm))
    for name, tensor in folded.state_dict().items():
        tensor.copy_(values[name])


def _fuse(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    return fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


def _fit(conv: nn.Module, norm: nn.Module) -> bool:
    # without running statistics, BatchNorm uses each batch's own statistics also in eval mode
    has_statistics = isinstance(getattr(norm, "running_mean", None), Tensor)
    return has_statistics and any(isinstance(conv, convs) and isinstance(norm, norms) for convs, norms in _FITTING)
