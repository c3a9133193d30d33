"""The feed of the training: the batches of every epoch once, in their order, however early the workers begin."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset
from toy_trainer import Lines, make_trainer

from kdvideo.data.batch import SampleKey
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.transfer import transfer_to
from kdvideo.engine.feed import Feed
from kdvideo.engine.hooks import Progress
from kdvideo.engine.stop import Preempted
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.workers import WorkerLost

CPU = torch.device("cpu")


class _Numbers(Dataset):
    """Six samples. Each leaves a file in `folder` when it is read, and calls a function before."""

    def __init__(self, *, folder: Path | None = None, before_sample: Callable[[], object] = lambda: None) -> None:
        self.folder, self.before_sample = folder, before_sample

    def __getitem__(self, key: SampleKey) -> dict:
        self.before_sample()
        if self.folder is not None:
            (self.folder / f"{key.epoch}-{key.video}").touch()
        return {"x": torch.tensor([float(key.video)]), "epoch": key.epoch, "index": key.video}

    def __len__(self) -> int:
        return 6


def make_feed(num_workers: int, **options) -> Feed:
    sampler = EpochSampler(6, seed=0, batch_size=2)
    return Feed(create_loader(_Numbers(**options), batch_size=2, num_workers=num_workers, sampler=sampler), CPU)


def read(feed: Feed, *places: tuple[int, int]) -> list[tuple[int, list[int]]]:
    """The epoch and the samples of each batch that comes from these places on."""
    return [
        (int(batch["epoch"][0]), batch["index"].tolist())
        for epoch, step in places
        for batch in feed.batches(epoch, step)
    ]


@pytest.fixture(scope="module")
def expected() -> list[tuple[int, list[int]]]:
    """Two whole epochs, read without workers."""
    return read(make_feed(0), (0, 0), (1, 0))


@pytest.mark.parametrize("num_workers", [-1, 0, 2])
def test_an_epoch_that_was_begun_early(num_workers: int, expected):
    """It has the batches that it would have had; also where it was begun twice, or another one was begun before."""
    feed = make_feed(num_workers)
    first = read(feed, (0, 0))
    feed.start(7)
    feed.start(1)
    feed.start(1)
    assert first + read(feed, (1, 0)) == expected
    feed.start(0, 2)
    assert read(feed, (0, 2)) == expected[2:3]
    feed.start(1)
    feed.close()  # what was begun is dropped, and nothing of it is lost
    assert not multiprocessing.active_children()
    assert read(feed, (1, 0)) == expected[3:]
    feed.close()


def test_torch_draws_the_same_numbers(expected):
    """Hooks after an epoch, as its evaluation, see the generator that they would have seen."""
    feed = make_feed(1)
    torch.manual_seed(0)
    without = torch.rand(3)
    torch.manual_seed(0)
    feed.start(0)
    assert torch.equal(torch.rand(3), without)
    feed.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The feed's clock, which only the test moves."""
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr("kdvideo.engine.feed.time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_share_of_time_spent_waiting(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture):
    """Two seconds for a batch of two samples and six for a step are a quarter; the time of hooks does not count."""

    class Slow(Hook):
        def after_step(self, trainer, scalars):
            clock.now += 6

        def after_epoch(self, trainer, metrics):
            clock.now += 100

    trainer = make_reading_trainer(0, before_sample=lambda: setattr(clock, "now", clock.now + 1))
    with caplog.at_level("INFO"):
        trainer.train([Slow(), Progress(9)])
    assert trainer.feed.waiting == 0.25
    assert caplog.text.count("  waited 25 % for data") == 3


def test_batches_stay_where_they_are_on_the_cpu():
    """The tensors are the loader's own; what is no tensor stays as well."""
    feed = make_feed(0)
    (batch, *_) = feed.batches(0)
    moved = feed.to_device({**batch, "names": ["a", "b"]})
    assert all(moved[key] is batch[key] for key in batch)
    assert moved["names"] == ["a", "b"]
    assert transfer_to(torch.device("meta"))(batch)["x"].device.type == "meta"


def test_one_stream_copies_to_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """Whoever asks, training or evaluation: memory of another stream could not be used again."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 98)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    first = transfer_to(torch.device("cuda"))
    assert transfer_to(torch.device("cuda", 98)) is first
    assert transfer_to(torch.device("cuda", 99)) is not first


def make_reading_trainer(num_workers: int, **options) -> Trainer:
    """The toy trainer, whose batches come from workers."""
    trainer = make_trainer()
    trainer.feed = make_feed(num_workers, **options)
    return trainer


class _Waits(Hook):
    """Waits after the first epoch until a file of the second one is there, at most a minute."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.found = folder, False

    def after_epoch(self, trainer: Trainer, metrics: dict) -> None:
        end = time.monotonic() + 60
        while trainer.epoch == 1 and not self.found and time.monotonic() < end:
            self.found = any(self.folder.glob("1-*"))
            time.sleep(0.01)


def test_the_next_epoch_is_read_while_hooks_run(tmp_path: Path):
    """The hook sees it; and all epochs have all samples, the same weights come out, and no worker stays."""
    waits, lines, alone = _Waits(tmp_path), Lines(), Lines()
    make_reading_trainer(2, folder=tmp_path).train([waits, lines])
    assert waits.found
    assert not multiprocessing.active_children()
    assert len(list(tmp_path.iterdir())) == 3 * 6
    make_reading_trainer(0).train([alone])
    assert lines.steps == alone.steps


def test_nothing_is_read_early_without_workers(tmp_path: Path):
    """As before: samples are read when they are needed."""
    found = []

    class Looks(Hook):
        def after_epoch(self, trainer, metrics):
            found.append(len(list(tmp_path.iterdir())))

    make_reading_trainer(0, folder=tmp_path).train([Looks()])
    assert found == [6, 12, 18]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop_at", [2, 3, 4])
def test_stopped_and_resumed(num_workers: int, stop_at: int):
    """In an epoch's middle, at its last step and at the next one's first: each sample comes once an epoch."""
    whole, before, after = Lines(), Lines(), Lines()
    make_reading_trainer(num_workers).train([whole])
    first, second = make_reading_trainer(num_workers), make_reading_trainer(num_workers)
    with pytest.raises(Preempted):
        first.train([before], should_stop=lambda: first.step == stop_at)
    second.load_state(first.state())
    second.train([after])
    assert before.steps + after.steps == whole.steps
    assert after.epochs[-1] == whole.epochs[-1]
    assert not multiprocessing.active_children()


def test_a_hook_that_fails_ends_the_workers():
    """Though the next epoch had been begun."""

    class Failing(Hook):
        def after_epoch(self, trainer, metrics):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_reading_trainer(2).train([Failing()])
    assert not multiprocessing.active_children()


def test_a_worker_lost_before_the_hooks_spares_them(monkeypatch: pytest.MonkeyPatch):
    """The epoch that is done is evaluated and saved; then the run ends, as the next one cannot be read."""
    trainer, lines = make_reading_trainer(1), Lines()
    loader = type(trainer.feed.loader)
    begin = loader.__iter__

    def lose(self):
        if trainer.epoch == 1:
            raise WorkerLost("a worker was killed")
        return begin(self)

    monkeypatch.setattr(loader, "__iter__", lose)
    with pytest.raises(WorkerLost, match="was killed"):
        trainer.train([lines])
    assert [line["epoch"] for line in lines.epochs] == [1]
    assert not multiprocessing.active_children()
