"""Builds the optimizer and the learning-rate schedule from a config."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    CosineParamScheduler,
)
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import ReduceLROnPlateau

__all__ = ["PlateauSchedule", "Schedule", "build_optimizer", "build_schedule"]

_WARMUP_SHARE = 0.3  # share of a one-cycle run, as in torch's OneCycleLR
_WARMUP_START, _END = 1 / 25, 1e-4  # relative to the base rate
_HOW = ("fused", "foreach", "capturable")  # how an optimizer computes, which depends on the device


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
    all other parameters at SOLVER.BASE_LR. On a GPU, the optimizer is fused: a few kernels update all parameters, and
    a step that is not finite is skipped without the processor knowing. Its state can be continued on another device.
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
    options: dict[str, Any] = {"weight_decay": solver.WEIGHT_DECAY, "fused": _fits_fused(trained) or None}
    optimizer: optim.Optimizer
    if solver.OPTIMIZER == "adamw":
        optimizer = optim.AdamW(groups, **options)
    else:
        optimizer = optim.SGD(groups, momentum=solver.MOMENTUM, **options)
    _start_momentum(optimizer)
    optimizer.register_load_state_dict_pre_hook(_keep_how)
    optimizer.register_load_state_dict_post_hook(_start_momentum)
    return optimizer


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


def _fits_fused(parameters: Sequence[Tensor]) -> bool:
    # On a CPU, the fused kernels would change the last bits of every run.
    return all(parameter.device.type == "cuda" for parameter in parameters)


def _keep_how(optimizer: optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Returns a loaded state with the optimizer's own way to compute, since the state may come from another device."""
    groups = [
        {**saved, **{name: own[name] for name in _HOW if name in own}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {**state, "param_groups": groups}


def _start_momentum(optimizer: optim.Optimizer) -> None:
    """Gives a fused SGD the momentum buffers that it does not have yet, as zeros. The first step is the same with them.

    PyTorch allocates them in the first step without a value. If that step is skipped, they would keep whatever was in
    the memory.
    """
    if not isinstance(optimizer, optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["fused"] and group["momentum"] else ():
            if optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
