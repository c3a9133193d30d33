"""The average of a student's weights: its closed form, where it shows, and that the training does not notice it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from toy_trainer import make_trainer, run
from traces import Trace

from kdvideo.config import load_config
from kdvideo.engine.average import WeightAverage
from kdvideo.engine.checkpoint import read_state
from kdvideo.engine.hooks import OfTheAverage
from kdvideo.engine.launch import train
from kdvideo.engine.trainer import Hook
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_model


class Net(nn.Sequential):
    """Weights, and a BatchNorm with its buffers, in float64."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 2), nn.BatchNorm1d(2))
        self.double()


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_it_is_the_weighted_mean_of_all_steps(decay: float):
    """Against the sum over all states so far; running statistics alike, the count of steps as it is now."""
    network, states = Net(), []
    average = WeightAverage(network, decay=decay)
    for step in range(1, 8):
        with torch.no_grad():
            for value in network.state_dict().values():
                value.copy_(torch.rand_like(value) if value.is_floating_point() else torch.tensor(step))
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        average.update()
        shares = [decay ** (step - number) for number in range(1, step + 1)]
        for name, value in average.state_dict().items():
            if value.is_floating_point():
                mean = sum(share * state[name] for share, state in zip(shares, states, strict=True)) / sum(shares)
                torch.testing.assert_close(value, mean, rtol=1e-6, atol=1e-7)  # the share is a float32
            else:
                assert value == step


def test_the_network_gets_its_own_weights_back():
    """Also where an evaluation fails."""
    network = Net()
    average = WeightAverage(network, decay=0.5)
    with torch.no_grad():
        network[0].weight += 1
    average.update()
    with torch.no_grad():
        network[0].weight += 1
    trained = network[0].weight.clone()
    seen: list[torch.Tensor] = []

    def measure() -> None:
        with average.given():
            seen.append(network[0].weight.clone())
            raise RuntimeError("measuring")

    with pytest.raises(RuntimeError, match="measuring"):
        measure()
    torch.testing.assert_close(seen[0], trained - 1)
    assert torch.equal(network[0].weight, trained)
    average.give()
    torch.testing.assert_close(network[0].weight, trained - 1)


class Seen(Hook):
    """Keeps the weight that each epoch's hooks see."""

    def __init__(self) -> None:
        self.weights: list[float] = []

    def after_epoch(self, trainer, metrics):
        self.weights.append(trainer.task.student.weight.item())


def test_evaluations_see_the_average_and_steps_do_not():
    """Epochs of three steps. What is trained is the same as without an average."""
    plain, averaged = make_trainer(), with_average(0.5)
    seen = Seen()
    expected, got = run(plain), run(averaged, OfTheAverage([seen]))
    assert got.steps == expected.steps
    weights = [step["weight"] for step in got.steps]
    for epoch, value in enumerate(seen.weights, start=1):
        shares = [0.5 ** (3 * epoch - number) for number in range(1, 3 * epoch + 1)]
        mean = sum(share * weight for share, weight in zip(shares, weights, strict=False)) / sum(shares)
        assert value == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("stop_at", [2, 3, 7])
def test_it_goes_on_to_the_bit(stop_at: int):
    """In mid-epoch and between epochs; the checkpoint's student is the average."""
    whole, first, second = (with_average(0.9) for _ in range(3))
    seen, again = Seen(), Seen()
    expected = run(whole, OfTheAverage([seen]))
    run(first, OfTheAverage([Seen()]), stop_at=stop_at)
    state = first.state()
    assert not torch.equal(state["student"]["weight"], state["average"]["trained"]["weight"])
    second.load_state(state)
    assert run(second, OfTheAverage([again])).steps == expected.steps[stop_at:]
    assert again.weights == seen.weights[stop_at // 3 if stop_at % 3 else stop_at // 3 - 1 :]
    assert torch.equal(second.state()["student"]["weight"], whole.state()["student"]["weight"])


def with_average(decay: float):
    trainer = make_trainer()
    trainer.run_step.average = WeightAverage(trainer.task.student, decay=decay)
    return trainer


class Weights(Hook):
    """Keeps the student's trained weights after each epoch. As an extra hook it runs after the evaluation."""

    def __init__(self) -> None:
        self.states: list[dict] = []

    def after_step(self, trainer, scalars):
        self.states.append({name: value.clone() for name, value in trainer.task.student.state_dict().items()})


def test_a_run_publishes_the_average(tiny_overrides: list[str], tmp_path: Path):
    """Entry, result and checkpoint have it; the last line measures it; the losses are those without it."""
    options = ["SOLVER.EPOCHS", "1", "ZOO.PUBLISH_AS", "averaged.x", "SOLVER.EMA", "0.5"]
    weights, trace, plain = Weights(), Trace(), Trace()
    result = train(load_config(None, [*tiny_overrides, *options]), extra_hooks=[weights, trace])
    train(
        load_config(None, [*tiny_overrides, "SOLVER.EPOCHS", "1", "OUTPUT_DIR", str(tmp_path / "b")]),
        extra_hooks=[plain],
    )
    assert trace.losses == plain.losses
    shares = [0.5 ** (len(weights.states) - number - 1) for number in range(len(weights.states))]
    published = load_model("averaged.x", zoo=Zoo(tmp_path / "zoo"))[0].state_dict()
    checkpoint = read_state(tmp_path / "run" / "checkpoint.pt")
    for name, value in result.model.state_dict().items():
        assert torch.equal(value, published[name])
        assert torch.equal(value, checkpoint["student"][name])
        if value.is_floating_point():
            mean = sum(share * state[name] for share, state in zip(shares, weights.states, strict=True)) / sum(shares)
            torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-6)
    again = train(load_config(None, [*tiny_overrides, *options]), resume=True)
    assert again.metrics == result.metrics
