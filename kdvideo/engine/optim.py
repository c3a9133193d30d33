"""Builds the optimizer and the learning-rate schedule from a config."""

from collections.abc import Callable, Mapping
from typing import Any

from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
)
from torch import nn, optim
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["PlateauSchedule", "Schedule", "build_optimizer", "build_schedule"]

_WARMUP_SHARE = 0.3  # share of a one-cycle run, as in torch's OneCycleLR
_WARMUP_START, _END = 1 / 25, 1e-4  # relative to the base rate


class Schedule:
    """The learning rate of each step, as a function of progress.

    Args:
        function: maps progress in [0, 1) to the base rate.
    """

    def __init__(self, function: Callable[[float], float]) -> None:
        self._function = function

    def rate(self, progress: float, group: Mapping[str, Any]) -> float:
        """Returns the rate of one of the optimizer's groups.

        Args:
            progress: finished share of the run, in [0, 1).
            group: a group of the optimizer. It has its current `lr` and an `lr_scale`.
        """
        return self._function(progress) * group["lr_scale"]

    def observe(self, metrics: Mapping[str, Any]) -> None:
        """Receives the metrics of an epoch's evaluation. This schedule ignores them."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that `load_state_dict` needs to continue from here."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from the result of `state_dict`."""


class PlateauSchedule(Schedule):
    """A rate that falls when a metric stops rising.

    Args:
        scheduler: PyTorch's scheduler, which changes the `lr` of the optimizer's groups.
        metric: name of the metric.
    """

    def __init__(self, scheduler: ReduceLROnPlateau, metric: str) -> None:
        self._scheduler = scheduler
        self._metric = metric

    def rate(self, progress: float, group: Mapping[str, Any]) -> float:
        """Returns the group's rate as PyTorch's scheduler has set it."""
        return group["lr"]

    def observe(self, metrics: Mapping[str, Any]) -> None:
        """Lowers the rates if the metric has not risen for too long. Epochs without the metric do not count."""
        if self._metric in metrics:
            self._scheduler.step(metrics[self._metric])

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that `load_state_dict` needs to continue from here."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from the result of `state_dict`."""
        self._scheduler.load_state_dict(dict(state))


def build_optimizer(cfg: CfgNode, module: nn.Module, *, backbone: nn.Module) -> optim.Optimizer:
    """Builds SGD with momentum, or AdamW, for all trained parameters.

    There are two groups, each with an `lr_scale`. The backbone learns at SOLVER.BACKBONE_LR_SCALE times SOLVER.BASE_LR,
    all other parameters at SOLVER.BASE_LR.
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


def build_schedule(cfg: CfgNode, optimizer: optim.Optimizer, *, metric: str = "") -> Schedule:
    """Builds the schedule that SOLVER.SCHEDULE names.

    `constant`; `cosine`, a decay to nearly zero (Loshchilov and Hutter, arXiv 1608.03983, without restarts);
    `one_cycle`, a cosine rise for 0.3 of the run and then a decay (Smith and Topin, arXiv 1708.07120); `plateau`, which
    multiplies the rate by SOLVER.PLATEAU_FACTOR after SOLVER.PLATEAU_PATIENCE held-out evaluations without improvement.

    Args:
        cfg: a valid config.
        optimizer: the optimizer whose rates are set.
        metric: the metric of held-out videos that `plateau` uses.
    """
    solver = cfg.SOLVER
    rate = solver.BASE_LR
    down = CosineParamScheduler(rate, _END * rate)
    if solver.SCHEDULE == "plateau":
        scheduler = ReduceLROnPlateau(
            optimizer, mode="max", factor=solver.PLATEAU_FACTOR, patience=solver.PLATEAU_PATIENCE, threshold=0.0
        )
        return PlateauSchedule(scheduler, metric)
    if solver.SCHEDULE == "cosine":
        return Schedule(down)
    if solver.SCHEDULE == "one_cycle":
        up_and_down = CompositeParamScheduler(
            [CosineParamScheduler(_WARMUP_START * rate, rate), down],
            lengths=[_WARMUP_SHARE, 1 - _WARMUP_SHARE],
            interval_scaling=["rescaled", "rescaled"],
        )
        return Schedule(up_and_down)
    return Schedule(ConstantParamScheduler(rate))
