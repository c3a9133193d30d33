"""What every protocol shares: the lists that it measures on, what it sees of a network, what it says."""

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
    """One split of a dataset.

    Attributes:
        test: the videos that are asked about.
        train: the videos that retrieval searches and classifiers are fitted to.
        split: its number.
        validation: a part of the training list that training leaves out, against the part that it uses; or None.
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
    """The classes of the videos that are measured.

    Attributes:
        number: how many there are; None if a video has no class.
        names: in the order of their numbers; empty if the dataset does not name all of them.
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
        """The names, or else the numbers."""
        return list(self.names) or [str(number) for number in range(self.number or 0)]


@dataclass(frozen=True)
class Subject:
    """A network on one split, as a protocol sees it.

    Attributes:
        model: the network.
        lists: the split.
        views: what the network sees of each video.
        classes: of all splits that are measured.
        outputs: the network's outputs for all videos that some protocol needs; None if none does.
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
    """What one protocol says of one split.

    Attributes:
        protocol: its name.
        metrics: what was measured.
        words: how it was measured, for a zoo entry.
        predicted: the class that each test video was taken for, `[V]`; None if the protocol names no classes.
        answers: what the numbers in `predicted` mean.
    """

    protocol: str
    metrics: Sequence[Metric]
    words: str
    predicted: Tensor | None = None
    answers: Sequence[str] = ()


class Protocol(ABC):
    """A way to measure a network.

    Attributes:
        name: as `kdvideo eval --protocols` takes it.
        needs: the lists whose clip outputs it reads.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Literal["test", "train"], ...]] = ("test", "train")

    @abstractmethod
    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Says why the network cannot be measured; returns None if it can.

        Args:
            model: the network.
            classes: of the videos.
        """

    @abstractmethod
    def measure(self, subject: Subject) -> Measurement:
        """Measures a network on one split.

        Args:
            subject: the network and the split.
        """


def measure_scores(protocol: str, name: str, scores: Tensor, *, subject: Subject, words: str) -> Measurement:
    """Measures top-1 and top-5 accuracy of scores, whatever gave them.

    Args:
        protocol: that the scores are of.
        name: of the top-1 metric.
        scores: of each test video, `[V, C]`.
        subject: what was measured.
        words: how the scores come about.
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
