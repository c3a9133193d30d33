"""Optimizers, their groups, and the schedules."""

import math

import pytest
import torch
from torch import nn, optim
from toy_trainer import Measured, make_trainer, run

from kdvideo.config import get_defaults
from kdvideo.engine import optim as engine_optim
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.trainer import Hook
from kdvideo.models.pcl import ClassificationModel, build_backbone
from kdvideo.tasks.weighting import LearntWeights


def solver(**values):
    cfg = get_defaults()
    cfg.SOLVER.merge_from_list([item for pair in values.items() for item in pair])
    return cfg


def build(cfg, module: nn.Module | None = None) -> optim.Optimizer:
    module = module or nn.Linear(2, 2)
    return build_optimizer(cfg, module, backbone=module)


def schedule(**values):
    cfg = solver(BASE_LR=0.5, **values)
    built = build_schedule(cfg, build(cfg))
    return lambda progress: built.rate(progress, {"lr_scale": 1.0})


def test_schedules():
    """Constant stays; cosine falls from the base rate, one-cycle rises from 1/25 to it at 0.3; both end near 0."""
    assert {schedule()(where) for where in (0.0, 0.3, 0.99)} == {0.5}
    one_cycle, cosine = schedule(SCHEDULE="one_cycle"), schedule(SCHEDULE="cosine")
    assert one_cycle(0.0) == pytest.approx(0.02)
    assert one_cycle(0.3) == cosine(0.0) == pytest.approx(0.5)
    assert one_cycle(0.15) == pytest.approx((0.02 + 0.5) / 2)
    assert cosine(0.5) == pytest.approx(0.25, rel=1e-3)
    assert max(one_cycle(0.999999), cosine(0.999999)) < 1e-3


@pytest.mark.parametrize("where", [0.0, 0.05, 0.1, 0.199])
def test_every_schedule_warms_up(where: float):
    """Linearly from 1/25 of the rate in the share of SOLVER.WARMUP; a one-cycle's own rise is a cosine's."""
    linear = 0.5 * (1 / 25 + 24 / 25 * where / 0.2)
    for name in ("constant", "cosine", "plateau"):
        assert schedule(SCHEDULE=name, WARMUP=0.2)(where) == pytest.approx(linear, rel=1e-12)
    cosine = 0.5 * (1 - 24 / 25 * (1 + math.cos(math.pi * where / 0.2)) / 2)
    assert schedule(SCHEDULE="one_cycle", WARMUP=0.2)(where) == pytest.approx(cosine, rel=1e-9)


@pytest.mark.parametrize("where", [0.2, 0.6, 0.99])
def test_a_schedule_fills_what_its_warm_up_leaves(where: float):
    """Squeezed, not cut: it begins at the whole rate and ends where it does without a warm-up."""
    rest = (where - 0.2) / 0.8
    assert schedule(SCHEDULE="constant", WARMUP=0.2)(where) == schedule(SCHEDULE="plateau", WARMUP=0.2)(where) == 0.5
    for name in ("cosine", "one_cycle"):
        after = schedule(SCHEDULE="cosine")(rest)
        assert schedule(SCHEDULE=name, WARMUP=0.2)(where) == pytest.approx(after, rel=1e-9)


def test_learnt_weights_do_not_decay():
    """The logarithms of an adaptive loss's variances: at 0, where decay would pull them, the loss counts as 1/2."""
    module = nn.ModuleList([nn.Linear(2, 2), LearntWeights({"a": 1.0})])
    optimizer = build(solver(WEIGHT_DECAY=0.1), module)
    own = set(module[1].parameters())
    assert {group["weight_decay"] for group in optimizer.param_groups if own & {*group["params"]}} == {0.0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 3
    assert len(build(solver()).param_groups) == 2


def test_undecayed_parameters_of_a_backbone_keep_its_rate():
    """They are of the backbone before they are without decay."""
    backbone = nn.ModuleList([nn.Linear(2, 2), LearntWeights({"a": 1.0})])
    module = nn.ModuleList([nn.Linear(2, 2), LearntWeights({"b": 1.0}), backbone])
    cfg = solver(BASE_LR=0.5, BACKBONE_LR_SCALE=0.1, WEIGHT_DECAY=0.1)
    groups = build_optimizer(cfg, module, backbone=backbone).param_groups
    assert [(g["lr_scale"], g["weight_decay"]) for g in groups] == [(1.0, 0.1), (0.1, 0.1), (1.0, 0.0), (0.1, 0.0)]
    assert [g["lr"] for g in groups] == pytest.approx([0.5, 0.05, 0.5, 0.05])
    assert {*groups[3]["params"]} == {*backbone[1].parameters()}
    assert {*groups[2]["params"]} == {*module[1].parameters()}


def test_the_state_of_a_version_with_other_groups_is_refused():
    """One line: earlier versions let learnt weights decay, in the group of the head."""
    before = build(solver()).state_dict()
    now = build(solver(), nn.ModuleList([nn.Linear(2, 2), LearntWeights({"a": 1.0})]))
    with pytest.raises(ValueError, match=r"^--resume: the checkpoint's optimizer has 2 groups .* makes 3, .* new run$"):
        now.load_state_dict(before)


def test_optimizers():
    """What SOLVER.OPTIMIZER names, with the weight decay of the config."""
    sgd, adamw = build(solver(MOMENTUM=0.8, WEIGHT_DECAY=0.1)), build(solver(OPTIMIZER="adamw", WEIGHT_DECAY=0.1))
    assert (type(sgd), type(adamw)) == (optim.SGD, optim.AdamW)
    assert {group["momentum"] for group in sgd.param_groups} == {0.8}
    assert {group["weight_decay"] for optimizer in (sgd, adamw) for group in optimizer.param_groups} == {0.1}


def built_fused(monkeypatch: pytest.MonkeyPatch, cfg, module: nn.Module) -> optim.Optimizer:
    """As on a GPU. The fused kernels exist for CPUs as well."""
    with monkeypatch.context() as patch:
        patch.setattr(engine_optim, "_fits_fused", lambda parameters: True)
        return build(cfg, module)


def take_step(optimizer: optim.Optimizer, module: nn.Module, *, skipped: bool = False) -> None:
    optimizer.zero_grad()
    module(torch.ones(1, 2)).square().sum().backward()
    optimizer.found_inf = torch.tensor(float(skipped)) if skipped else None  # as the scaler of fp16 does
    optimizer.step()


def test_on_a_cpu_nothing_is_fused():
    """The fused kernels round in another way, and runs on a CPU keep their bits."""
    for name in ("sgd", "adamw"):
        optimizer = build(solver(OPTIMIZER=name))
        assert [group["fused"] for group in optimizer.param_groups] == [None, None]
        assert not optimizer.state


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("to_fused", [True, False])
def test_a_state_goes_on_elsewhere(name: str, to_fused: bool, monkeypatch: pytest.MonkeyPatch):
    """From a CPU to a GPU and back: the state moves, how it is computed does not."""
    cfg, start = solver(OPTIMIZER=name, BASE_LR=0.1), nn.Linear(2, 2)
    weights = []
    for moves in (False, True):
        module = nn.Linear(2, 2)
        module.load_state_dict(start.state_dict())
        plain, fused = build(cfg, module), built_fused(monkeypatch, cfg, module)
        first, second = (plain, fused) if to_fused else (fused, plain)
        take_step(first, module)
        if moves:
            second.load_state_dict(first.state_dict())
            assert [group["fused"] for group in second.param_groups] == [to_fused or None] * 2
        for _ in range(3):
            take_step(second if moves else first, module)
        weights.append(module.weight.detach())
    assert not torch.equal(weights[0], start.weight)
    torch.testing.assert_close(*weights)


def test_a_skipped_first_step_leaves_no_momentum(monkeypatch: pytest.MonkeyPatch):
    """The first steps of fp16 overflow. PyTorch's own buffers then hold whatever was in the memory."""
    cfg, module = solver(BASE_LR=0.1, MOMENTUM=0.9), nn.Linear(2, 2)
    optimizer = built_fused(monkeypatch, cfg, module)
    assert len(optimizer.state) == 2
    before = module.weight.detach().clone()
    take_step(optimizer, module, skipped=True)
    assert torch.equal(module.weight, before)
    assert all(not state["momentum_buffer"].any() for state in optimizer.state.values())
    take_step(optimizer, module)
    assert not torch.equal(module.weight, before)


def test_head_and_backbone_have_rates_of_their_own():
    """Every parameter is in one group; the backbone's group moves at its scale of the base rate."""
    model = ClassificationModel(build_backbone("r3d_10", width=4), num_classes=3)
    cfg = solver(BASE_LR=0.5, BACKBONE_LR_SCALE=0.1)
    head, backbone = build_optimizer(cfg, model, backbone=model.backbone).param_groups
    assert {id(p) for p in head["params"]} == {id(p) for p in model.head.parameters()}
    assert {id(p) for p in backbone["params"]} == {id(p) for p in model.backbone.parameters()}
    assert (head["lr"], backbone["lr"]) == pytest.approx((0.5, 0.05))


def test_the_trainer_keeps_the_ratio_of_the_rates():
    """A schedule sets the base rate, each group takes its scale of it."""
    trainer = make_trainer(SCHEDULE="one_cycle", BASE_LR=0.1, BACKBONE_LR_SCALE=0.25)
    trainer.train()
    head, backbone = trainer.optimizer.param_groups
    assert backbone["lr"] == pytest.approx(0.25 * head["lr"])


def plateau_rates(*values: float | None, **options) -> list[float]:
    """The rate after each epoch whose held-out metric takes these values."""
    trainer = make_trainer(SCHEDULE="plateau", BASE_LR=0.1, EPOCHS=len(values), **options)
    rates: list[float] = []

    class Rates(Hook):
        def after_epoch(self, trainer, metrics):
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    run(trainer, Measured(*values), Rates())
    return rates


def test_plateau_waits_for_its_patience():
    """Falls after more than two evaluations without a better one; epochs that are not evaluated do not count."""
    rates = plateau_rates(0.3, 0.4, 0.4, None, 0.39, 0.4, 0.5, PLATEAU_PATIENCE=2, PLATEAU_FACTOR=0.1)
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_plateaus_warm_up_is_not_judged():
    """Two epochs of six: their evaluations neither lower the rate nor set what later ones have to beat."""
    rates = plateau_rates(0.9, 0.8, 0.5, 0.4, 0.6, 0.5, WARMUP=1 / 3, PLATEAU_PATIENCE=0)
    # The last step of an epoch of three is at 2/3 of it, and the evaluation after it shows in the next epoch.
    rise = [1 / 25 + 24 / 25 * done / 2 for done in (2 / 3, 5 / 3)]
    assert rates == pytest.approx([0.1 * rise[0], 0.1 * rise[1], 0.1, 0.1, 0.01, 0.01])
    assert plateau_rates(0.9, 0.8, 0.5, 0.4, 0.6, 0.5, PLATEAU_PATIENCE=0)[-1] < 1e-4


@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_a_warm_plateau_goes_on_after_resuming(stop_at: int):
    """Stopped in the warm-up of one and a half epochs, between, and after the fall: level and patience come back."""
    options = {"SCHEDULE": "plateau", "BASE_LR": 0.1, "WARMUP": 0.5, "EPOCHS": 4, "PLATEAU_PATIENCE": 0}
    whole, first, second = (make_trainer(**options) for _ in range(3))
    hooks = (Measured(0.1, 0.2, 0.5, 0.4),)
    expected = run(whole, *hooks)
    run(first, *hooks, stop_at=stop_at)
    second.load_state(first.state())
    assert run(second, *hooks).steps == expected.steps[stop_at:]
    assert second.schedule.state_dict() == whole.schedule.state_dict()
    assert whole.schedule.state_dict()["level"] == pytest.approx(0.01)


def test_plateau_goes_on_after_resuming():
    """Rate and patience are in the checkpoint."""
    whole, first, second = (make_trainer(SCHEDULE="plateau", BASE_LR=0.1, PLATEAU_PATIENCE=1) for _ in range(3))
    hooks = (Measured(0.5, 0.4, 0.4),)
    run(whole, *hooks)
    run(first, *hooks, stop_at=7)
    second.load_state(first.state())
    assert second.optimizer.param_groups[1]["lr"] == pytest.approx(0.1)
    run(second, *hooks)
    for trainer in (whole, second):
        assert trainer.optimizer.param_groups[1]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["plateau", "one_cycle"])
def test_checkpoints_of_before_go_on(schedule: str):
    """They hold a plateau's state as `plateau`, and None for every other schedule."""
    whole, second = (make_trainer(SCHEDULE=schedule, BASE_LR=0.1, PLATEAU_PATIENCE=1) for _ in range(2))
    run(whole, Measured(0.5, 0.4, 0.4), stop_at=7)
    state = whole.state()
    former = state.pop("schedule")
    second.load_state({**state, "plateau": former or None})
    assert bool(former) == (schedule == "plateau")
    run(second, Measured(0.5, 0.4, 0.4))
    assert second.schedule.state_dict().get("num_bad_epochs", 0) == 0
    assert second.optimizer.param_groups[0]["lr"] < 0.1


def test_plateau_lowers_the_rates_as_pytorch_does():
    """To the bit, in both groups, for factors that no float holds."""
    trainer = make_trainer(SCHEDULE="plateau", BASE_LR=0.1, BACKBONE_LR_SCALE=0.3, EPOCHS=9, PLATEAU_PATIENCE=0)
    run(trainer, Measured(*[0.5] * 9))
    expected = make_trainer(SCHEDULE="plateau", BASE_LR=0.1, BACKBONE_LR_SCALE=0.3).optimizer
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(expected, mode="max", factor=0.1, patience=0, threshold=0.0)
    for _ in range(9):
        scheduler.step(0.5)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in (trainer.optimizer, expected)]
    assert rates[0] == rates[1]
    assert rates[0][0] < 1e-7
