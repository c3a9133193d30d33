"""Optimizer and learning-rate schedule from a config."""

from collections.abc import Callable

from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
)
from torch import nn, optim
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["Schedule", "build_optimizer", "build_schedule"]

Schedule = Callable[[float], float] | ReduceLROnPlateau  # a function of progress, or of how a metric goes

_WARMUP_SHARE = 0.3  # of a one-cycle run, as in torch's OneCycleLR
_WARMUP_START, _END = 1 / 25, 1e-4  # of the base rate


def build_optimizer(cfg: CfgNode, module: nn.Module, *, backbone: nn.Module) -> optim.Optimizer:
    """SGD with momentum, or AdamW, over all parameters of `module` that need a gradient.

    Two groups, each with its `lr_scale`: what is not the backbone's at SOLVER.BASE_LR, and the backbone at
    SOLVER.BACKBONE_LR_SCALE times that.
    """
    solver = cfg.SOLVER
    in_backbone = {id(parameter) for parameter in backbone.parameters()}
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in trained if (id(parameter) in in_backbone) == is_backbone],
            "lr": solver.BASE_LR * scale,
            "lr_scale": scale,
        }
        for is_backbone, scale in ((False, 1.0), (True, solver.BACKBONE_LR_SCALE))
    ]
    if solver.OPTIMIZER == "adamw":
        return optim.AdamW(groups, weight_decay=solver.WEIGHT_DECAY)
    return optim.SGD(groups, momentum=solver.MOMENTUM, weight_decay=solver.WEIGHT_DECAY)


def build_schedule(cfg: CfgNode, optimizer: optim.Optimizer) -> Schedule:
    """What SOLVER.SCHEDULE names: a map from progress in [0, 1) to the base rate, or `plateau`.

    `constant`; `cosine`, down to nearly nothing (Loshchilov and Hutter, arXiv 1608.03983, without restarts);
    `one_cycle`, up by a cosine for 0.3 of the run, then down (Smith and Topin, arXiv 1708.07120); `plateau`, times
    SOLVER.PLATEAU_FACTOR whenever SOLVER.PLATEAU_PATIENCE evaluations on held-out videos have brought nothing.
    """
    solver = cfg.SOLVER
    rate = solver.BASE_LR
    down = CosineParamScheduler(rate, _END * rate)
    if solver.SCHEDULE == "plateau":
        return ReduceLROnPlateau(
            optimizer, mode="max", factor=solver.PLATEAU_FACTOR, patience=solver.PLATEAU_PATIENCE, threshold=0.0
        )
    if solver.SCHEDULE == "cosine":
        return down
    if solver.SCHEDULE == "one_cycle":
        return CompositeParamScheduler(
            [CosineParamScheduler(_WARMUP_START * rate, rate), down],
            lengths=[_WARMUP_SHARE, 1 - _WARMUP_SHARE],
            interval_scaling=["rescaled", "rescaled"],
        )
    return ConstantParamScheduler(rate)
