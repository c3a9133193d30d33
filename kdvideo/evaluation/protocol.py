"""The parts that all protocols share: their lists, their view of a network, and their results."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from kdvideo.data.datasets.records import class_names
from kdvideo.data.videos import VideoList
from kdvideo.evaluation.clip_outputs import ClipOutputs, Views
from kdvideo.evaluation.metrics import Metric, top_k_accuracy
from kdvideo.models.spec import Model

__all__ = ["Classes", "Lists", "Measurement", "Protocol", "Subject", "measure_scores"]


@dataclass(frozen=True)
class Lists:
    """The lists of one split of a dataset.

    Attributes:
        test: the videos to measure on.
        train: the videos that are searched by retrieval and that classifiers are fitted to.
        split: number of the split.
        validation: the lists of held-out training videos and of the rest of the training list. May be None.
    """

    test: VideoList
    train: VideoList
    split: int = 1
    validation: "Lists | None" = None

    @property
    def have_classes(self) -> bool:
        """Whether every video has a class."""
        return all(record.class_id is not None for part in (self.test, self.train) for record in part.records)


@dataclass(frozen=True)
class Classes:
    """The classes of the measured videos.

    Attributes:
        number: number of classes. None if a video has no class.
        names: names in the order of the class numbers. Empty if the dataset does not name all classes.
    """

    number: int | None
    names: Sequence[str] = ()

    @classmethod
    def of(cls, lists: Iterable[Lists]) -> "Classes":
        """Collects the classes of all videos together."""
        records = [record for one in lists for part in (one.test, one.train) for record in part.records]
        known = [record.class_id for record in records if record.class_id is not None]
        return cls(1 + max(known) if len(known) == len(records) else None, class_names(records))

    @property
    def labels(self) -> list[str]:
        """The names. If there are none, the numbers."""
        return list(self.names) or [str(number) for number in range(self.number or 0)]


@dataclass(frozen=True)
class Subject:
    """A network and a split, as input of a protocol.

    Attributes:
        model: the network.
        lists: the lists of the split.
        views: the clips and crops of each video.
        classes: the classes of all measured splits.
        outputs: the network's outputs for all videos that some protocol needs. None if no protocol needs any.
    """

    model: Model
    lists: Lists
    views: Views
    classes: Classes
    outputs: ClipOutputs | None = None

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.model.parameters()).device

    @cached_property
    def test(self) -> ClipOutputs:
        """The outputs for the test list."""
        return self._outputs_of(self.lists.test)

    @cached_property
    def train(self) -> ClipOutputs:
        """The outputs for the training list."""
        return self._outputs_of(self.lists.train)

    def _outputs_of(self, videos: VideoList) -> ClipOutputs:
        if self.outputs is None:
            raise RuntimeError("no outputs were computed: the protocol has to name the list in `needs`")
        return self.outputs.of(videos.records)


@dataclass(frozen=True)
class Measurement:
    """The result of one protocol on one split.

    Attributes:
        protocol: name of the protocol.
        metrics: the measured metrics.
        words: how they were measured, in words for a zoo entry.
        predicted: the predicted class of each test video, `[V]`. None if the protocol predicts no classes.
        answers: the meaning of the numbers in `predicted`.
    """

    protocol: str
    metrics: Sequence[Metric]
    words: str
    predicted: Tensor | None = None
    answers: Sequence[str] = ()


class Protocol(ABC):
    """A way to measure a network.

    Attributes:
        name: its name for `kdvideo eval --protocols`.
        needs: the lists whose clip outputs it uses.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Literal["test", "train"], ...]] = ("test", "train")

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns the reason why the network cannot be measured. None if it can.

        By default the videos need classes.

        Args:
            model: the network.
            classes: the classes of the videos.
        """
        return "the videos have no classes" if classes.number is None else None

    @abstractmethod
    def measure(self, subject: Subject) -> Measurement:
        """Measures a network on one split.

        Args:
            subject: the network and the split.
        """


def measure_scores(protocol: str, name: str, scores: Tensor, *, subject: Subject, words: str) -> Measurement:
    """Measures top-1 and top-5 accuracy of any scores.

    Args:
        protocol: the protocol that computed the scores.
        name: name of the top-1 metric.
        scores: the scores of each test video, `[V, C]`.
        subject: the measured network and split.
        words: how the scores are computed, in words.
    """
    accuracy = top_k_accuracy(scores, subject.test.classes, ks=(1, 5))
    count = len(subject.lists.test)
    return Measurement(
        protocol,
        [Metric(name, accuracy[1], count), Metric(f"{name}_top5", accuracy[5], count)],
        words=f"{name}: {words}",
        predicted=scores.argmax(dim=1),
        answers=subject.classes.labels,
    )
