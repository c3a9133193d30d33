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

from kdvideo.registry import OPTIMIZERS, SCHEDULES

__all__ = ["PlateauSchedule", "Schedule", "WarmPlateauSchedule", "build_optimizer", "build_schedule"]

_ONE_CYCLE_SHARE = 0.3  # of the run, where SOLVER.WARMUP is 0: as in torch's OneCycleLR
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


class WarmPlateauSchedule(PlateauSchedule):
    """A rate that rises linearly for some epochs, and falls when a metric stops rising after them.

    The evaluations of the warm-up do not count: its rates are lower than the ones that are judged.

    Args:
        scheduler: PyTorch's scheduler of an optimizer of its own, whose rate is the base rate. The trained optimizer's
            rates are those of the warm-up for a while, so the level is kept here.
        metric: name of the metric.
        warmup: number of epochs of the warm-up; it may be a part of one.
        num_epochs: number of epochs of the run.
    """

    def __init__(self, scheduler: ReduceLROnPlateau, metric: str, *, warmup: float, num_epochs: int) -> None:
        super().__init__(scheduler, metric)
        self._warmup = warmup
        self._num_epochs = num_epochs

    def rate(self, progress: float, group: Mapping[str, Any]) -> float:
        """Returns the group's share of the level, which the warm-up approaches."""
        level = self._scheduler.optimizer.param_groups[0]["lr"]
        return _rise(progress * self._num_epochs, self._warmup) * level * group["lr_scale"]

    def observe(self, metrics: Mapping[str, Any]) -> None:
        """Lowers the level as `PlateauSchedule` does. Epochs that were begun in the warm-up do not count."""
        if metrics["epoch"] - 1 >= self._warmup:
            super().observe(metrics)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that `load_state_dict` needs to continue from here."""
        return {**super().state_dict(), "level": self._scheduler.optimizer.param_groups[0]["lr"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from the result of `state_dict`."""
        super().load_state_dict({name: value for name, value in state.items() if name != "level"})
        self._scheduler.optimizer.param_groups[0]["lr"] = state["level"]


@OPTIMIZERS.register_as("sgd")
def _sgd(groups: list[dict[str, Any]], *, cfg: CfgNode, fused: bool | None) -> optim.Optimizer:
    solver = cfg.SOLVER
    return optim.SGD(groups, momentum=solver.MOMENTUM, weight_decay=solver.WEIGHT_DECAY, fused=fused)


@OPTIMIZERS.register_as("adamw")
def _adamw(groups: list[dict[str, Any]], *, cfg: CfgNode, fused: bool | None) -> optim.Optimizer:
    return optim.AdamW(groups, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=fused)


def build_optimizer(cfg: CfgNode, module: nn.Module, *, backbone: nn.Module) -> optim.Optimizer:
    """Builds the optimizer that SOLVER.OPTIMIZER names, for all trained parameters.

    There are two groups, each with an `lr_scale`. The backbone learns at SOLVER.BACKBONE_LR_SCALE times SOLVER.BASE_LR,
    all other parameters at SOLVER.BASE_LR. Parameters of modules whose `takes_weight_decay` is False have groups of
    their own behind those, at the same rates, without SOLVER.WEIGHT_DECAY. On a GPU, the optimizer is fused: a few
    kernels update all parameters, and a step that is not finite is skipped without the processor knowing. Its state can
    be continued on another device.
    """
    solver = cfg.SOLVER
    in_backbone = {id(parameter) for parameter in backbone.parameters()}
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    undecayed = _without_decay(module)
    groups: list[dict[str, Any]] = []
    for is_decayed in (True, False):
        for is_backbone, scale in ((False, 1.0), (True, solver.BACKBONE_LR_SCALE)):
            place = (is_decayed, is_backbone)
            own = [one for one in trained if (id(one) not in undecayed, id(one) in in_backbone) == place]
            group = {"params": own, "lr": solver.BASE_LR * scale, "lr_scale": scale}
            groups += [group] if is_decayed else [{**group, "weight_decay": 0.0}] if own else []
    fused = _fits_fused(trained) or None
    optimizer = OPTIMIZERS.get(solver.OPTIMIZER)(groups, cfg=cfg, fused=fused)
    if not isinstance(optimizer, optim.Optimizer) or any("lr_scale" not in group for group in optimizer.param_groups):
        raise ValueError(
            f"SOLVER.OPTIMIZER {solver.OPTIMIZER} has built a {type(optimizer).__name__}: it must be a "
            "torch.optim.Optimizer of the groups that it was given"
        )
    _start_momentum(optimizer)
    optimizer.register_load_state_dict_pre_hook(_keep_how)
    optimizer.register_load_state_dict_post_hook(_start_momentum)
    return optimizer


def _without_decay(module: nn.Module) -> set[int]:
    parts = [part for part in module.modules() if not getattr(part, "takes_weight_decay", True)]
    return {id(parameter) for part in parts for parameter in part.parameters()}


def build_schedule(cfg: CfgNode, optimizer: optim.Optimizer, *, metric: str = "") -> Schedule:
    """Builds the schedule that SOLVER.SCHEDULE names.

    `constant`; `cosine`, a decay to nearly zero (Loshchilov and Hutter, arXiv 1608.03983, without restarts);
    `one_cycle`, a cosine rise and then a decay (Smith and Topin, arXiv 1708.07120); `plateau`, which multiplies the
    rate by SOLVER.PLATEAU_FACTOR after SOLVER.PLATEAU_PATIENCE held-out evaluations without improvement.

    SOLVER.WARMUP is the share of the run in which the rate rises first, linearly from 1/25 of BASE_LR (Goyal et al.,
    arXiv 1706.02677). The schedule fills the rest of the run. A one-cycle rises by itself: WARMUP says for how long.

    Args:
        cfg: a valid config.
        optimizer: the optimizer whose rates are set.
        metric: the metric of held-out videos that `plateau` uses.

    Raises:
        ValueError: a schedule of the user's own is no `Schedule`.
    """
    schedule = SCHEDULES.get(cfg.SOLVER.SCHEDULE)(cfg, optimizer, metric=metric)
    if not isinstance(schedule, Schedule):
        raise ValueError(
            f"SOLVER.SCHEDULE {cfg.SOLVER.SCHEDULE} has built a {type(schedule).__name__}: it must be a "
            "kdvideo.engine.optim.Schedule, as Schedule(function of the finished share of the run)"
        )
    return schedule


def _built_in(cfg: CfgNode, optimizer: optim.Optimizer, *, metric: str) -> Schedule:
    solver = cfg.SOLVER
    rate, warmup = solver.BASE_LR, solver.WARMUP
    if solver.SCHEDULE == "plateau":
        return _build_plateau(solver, optimizer, metric=metric)
    down = CosineParamScheduler(rate, _END * rate)
    if solver.SCHEDULE == "one_cycle":
        share = warmup or _ONE_CYCLE_SHARE
        up_and_down = CompositeParamScheduler(
            [CosineParamScheduler(_WARMUP_START * rate, rate), down],
            lengths=[share, 1 - share],
            interval_scaling=["rescaled", "rescaled"],
        )
        return Schedule(up_and_down)
    after = down if solver.SCHEDULE == "cosine" else ConstantParamScheduler(rate)
    return Schedule(_warmed(after, rate, share=warmup) if warmup else after)


def _build_plateau(solver: CfgNode, optimizer: optim.Optimizer, *, metric: str) -> PlateauSchedule:
    options: dict[str, Any] = {
        "mode": "max",
        "factor": solver.PLATEAU_FACTOR,
        "patience": solver.PLATEAU_PATIENCE,
        "threshold": 0.0,
    }
    if not solver.WARMUP:
        return PlateauSchedule(ReduceLROnPlateau(optimizer, **options), metric)
    level = optim.SGD([torch.zeros(())], lr=solver.BASE_LR)
    return WarmPlateauSchedule(
        ReduceLROnPlateau(level, **options),
        metric,
        warmup=solver.WARMUP * solver.EPOCHS,
        num_epochs=solver.EPOCHS,
    )


def _warmed(schedule: Callable[[float], float], rate: float, *, share: float) -> Callable[[float], float]:
    """Returns the schedule squeezed into the rest of the run, behind a linear rise to `rate`."""

    def at(progress: float) -> float:
        if progress < share:
            return _rise(progress, share) * rate
        return schedule((progress - share) / (1 - share))

    return at


def _rise(done: float, whole: float) -> float:
    """Returns the factor of a warm-up of length `whole` when `done` of it is over. It is 1 after it."""
    return _WARMUP_START + (1 - _WARMUP_START) * min(done / whole, 1.0)


for _name in ("constant", "cosine", "one_cycle", "plateau"):
    SCHEDULES.register_as(_name)(_built_in)


def _fits_fused(parameters: Sequence[Tensor]) -> bool:
    # On a CPU, the fused kernels would change the last bits of every run.
    return all(parameter.device.type == "cuda" for parameter in parameters)


def _keep_how(optimizer: optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Returns a loaded state with the optimizer's own way to compute, since the state may come from another device.

    Raises:
        ValueError: the state has another number of groups.
    """
    before, now = len(state["param_groups"]), len(optimizer.param_groups)
    if before != now:
        raise ValueError(
            f"--resume: the checkpoint's optimizer has {before} groups of parameters and this version of kdvideo makes "
            f"{now}, some without weight decay: end the run with the version that began it, or start a new run"
        )
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
