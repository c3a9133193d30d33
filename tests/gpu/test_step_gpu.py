"""A step on CUDA against the same step on the CPU, from the same weights and batch, through the run's own trainer."""

import contextlib
from collections.abc import Mapping

import pytest
import torch
from step_cases import AfterStepHook, StepSettings, build_steps, computing_as_run

from kdvideo.engine.stop import Preempted

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

# Of the losses. They are sums over the batch of what autocast's rounding (2^-9 in bf16) has moved either way.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
# Of the gradient. BatchNorm over a few places and ReLUs near zero turn rounding into other gradients, in r2plus1d_10 by
# 0.5 % between the CPU's own two implementations of fp32. So these two say how far right answers lie apart.
SPREADS = 4


class OneStep(AfterStepHook):
    """Keeps the numbers of the first step, and ends."""

    def __init__(self) -> None:
        super().__init__(lambda: False)
        self.scalars: dict[str, float] = {}

    def after_step(self, trainer, scalars: Mapping[str, float]) -> None:
        super().after_step(trainer, scalars)
        self.scalars = dict(scalars)


def take_step(device: str, backbone: str, case: str, amp: str) -> tuple[dict[str, float], torch.Tensor]:
    """The losses of one step, and its gradient."""
    torch.manual_seed(0)
    settings = StepSettings(
        backbone,
        device=device,
        tuples=6,
        amp=amp,
        width=8,
        size=32,
        length=8,
        options=("CONTRAST.NUM_NEGATIVES", "16"),
    )
    hook = OneStep()
    with computing_as_run(settings.config(case), device), contextlib.suppress(Preempted):
        trainer = build_steps(case, settings)
        trainer.train([hook], should_stop=lambda: hook.ended)
    losses = {name: value for name, value in hook.scalars.items() if "loss" in name or "distillation" in name}
    gradients = [p.grad.flatten().float().cpu() for p in trainer.task.trainable.parameters() if p.grad is not None]
    return losses, torch.cat(gradients)


@pytest.mark.parametrize("amp", ["fp32", "bf16"])
@pytest.mark.parametrize("case", ["alone", "online"], ids=["pcl", "distill"])
@pytest.mark.parametrize("backbone", ["r3d_10", "r2plus1d_10", "c3d"])
def test_a_step_gives_what_the_cpu_gives(backbone: str, case: str, amp: str):
    """fp32 is without TF32; the losses within the tolerance, the gradient as near as the CPU is to itself."""
    losses, gradient = take_step("cpu", backbone, case, amp)
    with torch.backends.mkldnn.flags(enabled=False):
        _, other = take_step("cpu", backbone, case, amp)
    on_cuda, cuda_gradient = take_step("cuda", backbone, case, amp)
    assert on_cuda == pytest.approx(losses, rel=TOLERANCE[amp])
    norm = gradient.norm()
    allowed = max(TOLERANCE[amp], SPREADS * ((other - gradient).norm() / norm).item())
    assert ((cuda_gradient - gradient).norm() / norm).item() < allowed
    assert cuda_gradient.norm().item() == pytest.approx(norm.item(), rel=allowed)


def test_the_step_is_repeated_to_the_bit():
    """By default, twice the same gradient."""
    first, second = (take_step("cuda", "r3d_10", "online", "bf16") for _ in range(2))
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
