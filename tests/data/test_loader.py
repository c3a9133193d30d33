"""The same batches and the same evaluation, whatever the workers, the ranks and the step that is resumed from."""

import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed, multiprocessing
from torch.utils.data import Dataset

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import SampleKey
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import ucf101
from kdvideo.data.loader import EpochSampler, create_loader, gather_shares, stop_workers, take_share, workers_of_cores
from kdvideo.data.plan import TupleLayout, epoch_order
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.videos import VideoList

CLIP = ClipSpec(clip_len=4, size=32)
TUPLES = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)
NUM_EPOCHS, BATCH_SIZE = 2, 4


@pytest.fixture(scope="session")
def dataset(tiny_dataset: Path) -> TrainTuples:
    records = ucf101(tiny_dataset, split=1, subset="train")[:10]
    videos = VideoList(records, [count_frames(record.path) for record in records])
    return TrainTuples(videos, TUPLES, seed=3, num_negatives=4)


def batches(dataset: TrainTuples, *, num_workers=0, rank=0, world_size=1, start_step=0) -> list[dict]:
    """What one rank reads in all epochs, the first one from `start_step` on."""
    sampler = EpochSampler(len(dataset), seed=3, batch_size=BATCH_SIZE, rank=rank, world_size=world_size)
    loader = create_loader(dataset, batch_size=BATCH_SIZE // world_size, num_workers=num_workers, sampler=sampler)
    collected = []
    for epoch in range(NUM_EPOCHS):
        sampler.epoch, sampler.start_step = epoch, start_step if epoch == 0 else 0
        collected += list(loader)
    return collected


@pytest.fixture(scope="session")
def reference(dataset: TrainTuples) -> list[dict]:
    """Read by this process alone."""
    return batches(dataset)


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert set(one) == set(other)
        assert all(torch.equal(one[key], other[key]) for key in other)


def test_reference_differs_by_epoch(reference: list[dict]):
    """Ten videos make two batches of four an epoch, other ones in the second."""
    assert len(reference) == NUM_EPOCHS * 2
    assert not torch.equal(reference[0]["clips"], reference[2]["clips"])


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("num_workers", [-1, 1, 2, 4])
def test_batches_do_not_depend_on_workers(dataset: TrainTuples, reference: list[dict], num_workers: int):
    """Byte for byte, epoch after epoch of the same persistent workers."""
    assert_equal(batches(dataset, num_workers=num_workers), reference)


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_read_the_same_batches(dataset: TrainTuples, reference: list[dict], world_size: int):
    """The ranks' shares of a step, one after the other, are the batch of one process."""
    shares = [batches(dataset, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = [{key: torch.cat([part[key] for part in step]) for key in step[0]} for step in zip(*shares, strict=True)]
    assert_equal(together, reference)


def test_resuming_within_an_epoch(dataset: TrainTuples, reference: list[dict]):
    """From step 1 on come the batches that would have come; the next epoch is whole again."""
    assert_equal(batches(dataset, start_step=1), reference[1:])


@given(
    num_samples=st.integers(1, 200),
    share=st.integers(1, 5),
    world_size=st.integers(1, 5),
    epoch=st.integers(0, 50),
    data=st.data(),
)
def test_shares_of_any_size(num_samples, share, world_size, epoch, data):
    """For any number of samples, ranks and steps done, the shares of each step make up the epoch's order."""
    batch_size = share * world_size
    num_steps = num_samples // batch_size
    start_step = data.draw(st.integers(0, num_steps))
    order = epoch_order(seed=7, epoch=epoch, num_samples=num_samples).tolist()
    ranks = []
    for rank in range(world_size):
        sampler = EpochSampler(num_samples, seed=7, batch_size=batch_size, rank=rank, world_size=world_size)
        sampler.epoch, sampler.start_step = epoch, start_step
        assert len(sampler) == num_steps * share
        ranks.append(list(sampler))
    for step in range(start_step, num_steps):
        first = (step - start_step) * share
        together = [key for keys in ranks for key in keys[first : first + share]]
        assert together == [(epoch, index) for index in order[step * batch_size : (step + 1) * batch_size]]
    assert all(len(keys) == (num_steps - start_step) * share for keys in ranks)


def test_a_batch_that_ranks_cannot_share():
    """Uneven shares would weigh samples differently."""
    with pytest.raises(ValueError, match="`batch_size` is 16; it must be a multiple of the 3 processes"):
        EpochSampler(100, seed=0, batch_size=16, world_size=3)


@pytest.mark.parametrize("num_samples", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_evaluation_shares_leave_nothing_out(num_samples: int, world_size: int):
    """Every sample is in one rank's share, also where there are fewer samples than ranks."""
    samples = torch.arange(num_samples)
    shares = [list(take_share(samples, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert sorted(int(sample) for share in shares for sample in share) == samples.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_gathers_nothing():
    """Its outputs are all there are."""
    outputs = torch.rand(5, 2)
    assert gather_shares(outputs) is outputs


def _gather(rank: int, world_size: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    for num_samples in (1, 3, 7, 9):
        features = torch.arange(2.0 * num_samples).view(num_samples, 2)
        own = features[rank::world_size]
        assert torch.equal(gather_shares(own if len(own) else torch.empty(0)), features)
        labels = torch.arange(num_samples)
        assert torch.equal(gather_shares(labels[rank::world_size]), labels)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_shares_of_real_ranks_come_back_in_order(tmp_path: Path):
    """Three processes with uneven shares, one of them without a sample; a failed assertion there fails here."""
    multiprocessing.spawn(_gather, args=(3, str(tmp_path)), nprocs=3)


@pytest.mark.parametrize(
    ("cores", "environment", "workers"),
    [
        (16, {}, 15),
        (2, {}, 1),
        (1, {}, 1),
        (256, {}, 32),
        (48, {"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}, 5),
        (4, {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8"}, 1),
        # Slurm gives each task cores of its own, whether or not it also binds the task to them.
        (6, {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "SLURM_NTASKS": "8", "SLURM_CPUS_PER_TASK": "6"}, 5),
        (48, {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "SLURM_NTASKS": "8", "SLURM_CPUS_PER_TASK": "6"}, 5),
        # torchrun in one task
        (48, {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "SLURM_NTASKS": "1", "SLURM_CPUS_PER_TASK": "48"}, 5),
    ],
)
def test_workers_of_the_cores(cores: int, environment: dict[str, str], workers: int, monkeypatch):
    """One core is left to each process of the run, and there is always a worker."""
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("kdvideo.data.loader.available_cores", lambda: cores)
    assert workers_of_cores(num_batches=1000) == workers


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_no_more_workers_than_batches(dataset: TrainTuples, monkeypatch):
    """Ten videos make two batches of four for training, and three where none is left out."""
    monkeypatch.setattr("kdvideo.data.loader.available_cores", lambda: 64)
    sampler = EpochSampler(len(dataset), seed=3, batch_size=BATCH_SIZE)
    assert create_loader(dataset, batch_size=BATCH_SIZE, num_workers=-1, sampler=sampler).num_workers == 2
    assert create_loader(dataset, batch_size=BATCH_SIZE, num_workers=-1).num_workers == 3
    assert create_loader(dataset, batch_size=None, num_workers=-1).num_workers == 10
    assert create_loader(dataset, batch_size=BATCH_SIZE, num_workers=0).num_workers == 0


class _Marks(Dataset):
    """Leaves a file for each sample that it reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, key: SampleKey) -> int:
        (self.folder / f"{key.epoch}-{key.video}").touch()
        return key.video

    def __len__(self) -> int:
        return 4


def test_workers_begin_before_the_first_batch_is_asked_for(tmp_path: Path):
    """All of an epoch that fits into two batches a worker; and they end when they are told to."""
    sampler = EpochSampler(4, seed=3, batch_size=2)
    loader = create_loader(_Marks(tmp_path), batch_size=2, num_workers=1, sampler=sampler)
    batches = iter(loader)
    end = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0", "0-1", "0-2", "0-3"]
    stop_workers(loader)
    assert not multiprocessing.active_children()
    del batches
    sampler.epoch = 1
    assert sorted(torch.cat(list(loader)).tolist()) == [0, 1, 2, 3]
    stop_workers(loader)
