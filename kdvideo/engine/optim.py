"""Optimizer and learning-rate schedule from a config."""

from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
    ParamScheduler,
)
from torch import nn, optim

__all__ = ["build_optimizer", "build_schedule"]

_WARMUP_SHARE = 0.3  # of a one-cycle run, as in torch's OneCycleLR
_WARMUP_START, _END = 1 / 25, 1e-4  # of the base rate


def build_optimizer(cfg: CfgNode, module: nn.Module) -> optim.Optimizer:
    """SGD with momentum over all parameters that need a gradient."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    solver = cfg.SOLVER
    return optim.SGD(parameters, lr=solver.BASE_LR, momentum=solver.MOMENTUM, weight_decay=solver.WEIGHT_DECAY)


def build_schedule(cfg: CfgNode) -> ParamScheduler:
    """Maps progress in [0, 1) to a learning rate.

    `constant`, or `one_cycle`: up by a cosine for 0.3 of the run, then down (Smith and Topin, arXiv 1708.07120).
    """
    rate = cfg.SOLVER.BASE_LR
    if cfg.SOLVER.SCHEDULE == "constant":
        return ConstantParamScheduler(rate)
    return CompositeParamScheduler(
        [CosineParamScheduler(_WARMUP_START * rate, rate), CosineParamScheduler(rate, _END * rate)],
        lengths=[_WARMUP_SHARE, 1 - _WARMUP_SHARE],
        interval_scaling=["rescaled", "rescaled"],
    )
