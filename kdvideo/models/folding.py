"""Folds BatchNorm into the convolutions of networks that are not trained any more."""

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm"]

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
    """Folds each BatchNorm that is the only successor of a convolution into it, in place.

    A symbolic trace tells which module follows which, since a network need not apply its parts in the order in which it
    holds them. If a network cannot be traced, its parts are tried one by one.

    Args:
        module: the network, in eval mode.

    Returns:
        The number of folded BatchNorms.
    """
    assert not module.training
    try:
        graph = _Tracer().trace(module)
    except Exception:  # the network's Python code may raise anything for a tensor without values
        return sum(fold_batch_norm(child) for child in module.children())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    folded = 0
    for node in calls:
        before = node.args[0]
        if before not in calls or len(before.users) > 1 or max(map(targets.count, (node.target, before.target))) > 1:
            continue
        conv, norm = module.get_submodule(before.target), module.get_submodule(node.target)
        if _fit(conv, norm):
            module.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))  # type: ignore[type-var, arg-type]
            module.set_submodule(node.target, nn.Identity())
            folded += 1
    return folded


def _fit(conv: nn.Module, norm: nn.Module) -> bool:
    # without running statistics, BatchNorm uses each batch's own statistics also in eval mode
    has_statistics = isinstance(getattr(norm, "running_mean", None), Tensor)
    return has_statistics and any(isinstance(conv, convs) and isinstance(norm, norms) for convs, norms in _FITTING)
