"""The lists of the tiny dataset."""

from pathlib import Path

import pytest

from kdvideo.data.datasets import ucf101
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.videos import VideoList
from kdvideo.evaluation import Lists


@pytest.fixture
def tiny_lists(tiny_dataset: Path) -> Lists:
    """6 test and 12 training videos, two of which are held out."""

    def read(subset: str) -> VideoList:
        records = ucf101(tiny_dataset, split=1, subset=subset)
        return VideoList(records, [count_frames(record.path) for record in records])

    test, train = read("test"), read("train")
    return Lists(test, train, validation=Lists(train.subset([0, 1]), train.subset(range(2, 12))))
