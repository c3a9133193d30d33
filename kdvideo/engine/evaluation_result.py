"""What an evaluation has found, and the files that it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import simplejson
from torch import Tensor

from kdvideo.evaluation.confusion import count_confusions, write_confusions
from kdvideo.evaluation.intervals import wilson_interval
from kdvideo.files import write_text

__all__ = ["EVALUATION_NAME", "Evaluation", "SplitResult", "is_accuracy"]

EVALUATION_NAME = "evaluation.json"


def is_accuracy(metric: str) -> bool:
    """Whether a metric is a share of right answers; the majority's share is a fact about the labels."""
    return "majority_share" not in metric


@dataclass(frozen=True)
class SplitResult:
    """One split of a dataset.

    Attributes:
        split: its number.
        num_test: videos of its test list.
        num_train: videos of its training list.
        metrics: shares in [0, 1].
        words: how they were measured, one text a protocol.
        counts: how many videos a metric counts, where these are not all of the test list.
        classes: of the test videos, `[V]`; None where they have none.
        predicted: protocol -> the class that each test video was taken for, `[V]`.
    """

    split: int
    num_test: int
    num_train: int
    metrics: Mapping[str, float]
    words: Sequence[str]
    counts: Mapping[str, int] = field(default_factory=dict)
    classes: Tensor | None = None
    predicted: Mapping[str, Tensor] = field(default_factory=dict)

    def num_videos(self, metric: str) -> int:
        """How many videos a metric counts."""
        return self.counts.get(metric, self.num_test)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % interval of each accuracy, a video as one observation."""
        return {
            name: wilson_interval(share, self.num_videos(name))
            for name, share in self.metrics.items()
            if is_accuracy(name)
        }

    @property
    def protocol(self) -> str:
        """How the metrics were measured, in words."""
        lists = f"split {self.split}: {self.num_test} test videos against {self.num_train} training videos"
        return "; ".join([lists, *self.words])

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "split": self.split,
            "test_videos": self.num_test,
            "training_videos": self.num_train,
            "metrics": dict(self.metrics),
            "intervals_95": {name: list(ends) for name, ends in self.intervals.items()},
            "protocol": self.protocol,
        }


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of one network.

    Attributes:
        source: zoo name, path, URL, or the backbone whose random weights were measured.
        sha256: of the weights; None for random ones.
        dataset: the name of its folder.
        class_names: in the order of their numbers.
        other_classes: those that a classifier knows besides; its confusions have them behind the dataset's.
        settings: config keys that the metrics depend on.
        splits: one result each.
    """

    source: str
    sha256: str | None
    dataset: str
    class_names: Sequence[str]
    settings: Mapping[str, Any]
    splits: Sequence[SplitResult]
    other_classes: Sequence[str] = ()

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The mean over the splits."""
        return {name: fmean(result.metrics[name] for result in self.splits) for name in self.splits[0].metrics}

    def write(self, directory: Path) -> list[Path]:
        """Writes `evaluation.json` and the tables of confusions; returns their paths."""
        report = {
            "model": self.source,
            "sha256": self.sha256,
            "dataset": self.dataset,
            "settings": dict(self.settings),
            "metrics": self.metrics,
            "splits": [result.to_dict() for result in self.splits],
        }
        paths = [directory / EVALUATION_NAME]
        write_text(paths[0], simplejson.dumps(report, indent=2) + "\n")
        for result in self.splits:
            suffix = "" if len(self.splits) == 1 else f"-s{result.split}"
            for protocol, predicted in result.predicted.items():
                assert result.classes is not None, "what is predicted has classes"
                paths.append(directory / f"confusion_{protocol}{suffix}.csv")
                names = [*self.class_names, *(self.other_classes if protocol == "classify" else ())]
                counts = count_confusions(result.classes, predicted, num_classes=len(names))
                write_confusions(paths[-1], counts, names)
        return paths
