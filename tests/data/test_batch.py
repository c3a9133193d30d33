"""The keys of samples and batches, and the keys that choose samples."""

import pickle
from pathlib import Path

import pytest
import torch

from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.batch import Batch, Sample, SampleKey, batch_size, map_batch
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import ucf101
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.pretexts.vcp import VCP
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList
from kdvideo.data.views import TeacherViews, ViewedTuples

CLIP = ClipSpec(clip_len=4, size=32)
CONFIG = TupleConfig(TupleLayout(CLIP, tuple_len=3, interval=2), VCP(), AugmentConfig(), short_side=36)
VIEWS = TeacherViews(CLIP, count=2, kept=(0, 2), are_answered=lambda views, videos: True)


@pytest.fixture(scope="module")
def videos(tiny_dataset: Path) -> VideoList:
    return VideoList(ucf101(tiny_dataset, split=1, subset="train")[:4], [64] * 4)


def test_a_batch_has_the_keys_of_a_sample():
    """Collating changes shapes and types, no names."""
    assert set(Batch.__annotations__) == set(Sample.__annotations__)


@pytest.mark.parametrize("place", ["worker", "device"])
def test_datasets_write_listed_keys_only(videos: VideoList, place: str):
    """And all of them together write every one: no key is listed that nobody writes."""
    options = {"seed": 0, "augment_on": place}
    samples = [
        TrainTuples(videos, CONFIG, num_negatives=2, **options)[SampleKey(0, 1)],
        TaughtTuples(videos, CONFIG, num_negatives=2, teacher=CLIP, **options)[SampleKey(0, 1)],
        TrainClips(videos, CLIP, augment=AugmentConfig(), short_side=36, **options)[SampleKey(0, 1)],
        ViewedTuples(videos, CONFIG, num_negatives=2, views=VIEWS, **options)[SampleKey(0, 1)],
    ]
    mixed = TrainClips(videos, CLIP, augment=AugmentConfig(), short_side=36, **options)
    mixed.mixup = 1.0
    samples.append(mixed[SampleKey(0, 1)])
    if place == "device":
        resident = TrainTuples(videos, CONFIG, num_negatives=2, **options)
        resident.resident_shapes = [(36, 48)] * 4
        samples.append(resident[SampleKey(0, 1)])
    left_to_the_device = {"color", "blur_sigma", "pretext_argument", "frames", "corner", "flip"}
    expected = set(Sample.__annotations__) - (set() if place == "device" else left_to_the_device)
    assert set().union(*samples) == expected


def test_loaders_choose_samples_by_their_keys(videos: VideoList):
    """The sampler gives epoch and video, which a batch calls epoch and index; plain pairs choose the same samples."""
    dataset = TrainTuples(videos, CONFIG, seed=0, num_negatives=0)
    sampler = EpochSampler(4, seed=0, batch_size=2)
    sampler.epoch = 3
    keys = list(sampler)
    assert all(isinstance(key, SampleKey) and pickle.loads(pickle.dumps(key)) == key for key in keys)
    batches = list(create_loader(dataset, batch_size=2, num_workers=0, sampler=sampler))
    assert [key.video for key in keys] == torch.cat([batch["index"] for batch in batches]).tolist()
    assert {key.epoch for key in keys} == set(torch.cat([batch["epoch"] for batch in batches]).tolist()) == {3}
    assert torch.equal(dataset[3, keys[0].video]["clips"], batches[0]["clips"][0])


def test_mapping_a_batch():
    """Every value is mapped, whatever its type."""
    batch = {"index": torch.tensor([4, 5, 6]), "names": ["a", "b", "c"]}
    assert batch_size(batch) == 3
    part = map_batch(batch, lambda value: value[1:])
    assert part["index"].tolist() == [5, 6]
    assert part["names"] == ["b", "c"]
