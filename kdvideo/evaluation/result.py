"""The result of an evaluation, and the files that it writes."""

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
from kdvideo.evaluation.metrics import Metric
from kdvideo.evaluation.protocol import Measurement
from kdvideo.files import write_text

__all__ = ["EVALUATION_NAME", "Evaluation", "SplitResult"]

EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True)
class SplitResult:
    """The results on one split.

    Attributes:
        split: number of the split.
        num_test: number of videos in its test list.
        num_train: number of videos in its training list.
        measurements: one result per protocol.
        classes: the class of each test video, `[V]`. None if no protocol used them.
    """

    split: int
    num_test: int
    num_train: int
    measurements: Sequence[Measurement]
    classes: Tensor | None = None

    @cached_property
    def measured(self) -> dict[str, Metric]:
        """Every metric by its name."""
        return {metric.name: metric for one in self.measurements for metric in one.metrics}

    @property
    def metrics(self) -> dict[str, float]:
        """Each metric's share in [0, 1], by name."""
        return {name: metric.share for name, metric in self.measured.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % interval of each score."""
        return {
            name: wilson_interval(metric.share, metric.num_videos)
            for name, metric in self.measured.items()
            if metric.is_score
        }

    @property
    def protocol(self) -> str:
        """How the metrics were measured, in words."""
        lists = f"split {self.split}: {self.num_test} test videos against {self.num_train} training videos"
        return "; ".join([lists, *(one.words for one in self.measurements)])

    def to_dict(self) -> dict[str, Any]:
        """Converts the result to JSON types."""
        return {
            "split": self.split,
            "test_videos": self.num_test,
            "training_videos": self.num_train,
            "metrics": self.metrics,
            "intervals_95": {name: list(ends) for name, ends in self.intervals.items()},
            "protocol": self.protocol,
        }


@dataclass(frozen=True)
class Evaluation:
    """All results of one network.

    Attributes:
        splits: the results on each split.
        source: a zoo name, path, URL, or the backbone whose random weights were measured. "" if unknown.
        sha256: the hash of the weights. None for random weights.
        dataset: the name of the dataset's folder.
        settings: the config keys that the metrics depend on.
    """

    splits: Sequence[SplitResult]
    source: str = ""
    sha256: str | None = None
    dataset: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The mean of each metric over the splits."""
        return {name: fmean(result.metrics[name] for result in self.splits) for name in self.splits[0].metrics}

    @property
    def protocol(self) -> str:
        """How the metrics were measured, in words."""
        return "; ".join(f"{self.dataset} {result.protocol}".strip() for result in self.splits)

    @property
    def names_classes(self) -> bool:
        """Whether some protocol has predicted classes."""
        return any(one.predicted is not None for result in self.splits for one in result.measurements)

    def write(self, directory: Path) -> list[Path]:
        """Writes `evaluation.json` and the confusion tables. Returns their paths."""
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
            for one in result.measurements:
                if one.predicted is None:
                    continue
                assert result.classes is not None, "what is predicted has classes"
                paths.append(directory / f"confusion_{one.protocol}{suffix}.csv")
                counts = count_confusions(result.classes, one.predicted, num_classes=len(one.answers))
                write_confusions(paths[-1], counts, one.answers)
        return paths
