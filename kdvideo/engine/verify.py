"""Checks whether a published model still has its entry's metrics, for `kdvideo zoo verify --metrics`."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.evaluation.metrics import MetricName, parse_metric
from kdvideo.evaluation.result import SplitResult
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import find_entry

__all__ = ["Comparison", "verify_metrics"]

_ROUNDING = 1e-5  # rounding error of a share that an entry stores with fewer digits


@dataclass(frozen=True)
class Comparison:
    """A metric of an entry and its new measurement.

    Attributes:
        metric: name of the metric.
        stored: the value in the entry.
        measured: the new value. None if nothing here measures it.
        num_videos: number of videos that the metric counts.
    """

    metric: str
    stored: float
    measured: float | None = None
    num_videos: int = 1

    @property
    def agrees(self) -> bool:
        """Whether at most one video has another result."""
        if self.measured is None:
            return True
        return abs(self.measured - self.stored) <= 1 / self.num_videos + _ROUNDING

    def __str__(self) -> str:
        if self.measured is None:
            return f"{self.metric} {self.stored:.4f}, not measured again"
        found = f"{self.metric} {self.stored:.4f}, measured now {self.measured:.4f} on {self.num_videos} videos"
        apart = abs(self.measured - self.stored) * self.num_videos
        return found if self.agrees else f"{found}: {apart:.1f} videos apart, one is allowed"


def verify_metrics(name: str, root: Path, *, zoo: Zoo | None = None) -> list[Comparison]:
    """Measures a model as its entry's config and metric names say, and compares the results.

    Metrics with a prefix are of other data. They are not measured.

    Args:
        name: name of the entry, with or without `kdvideo://`.
        root: the folder of the videos that the model was trained on.
        zoo: a zoo to look into first.

    Raises:
        ValueError: there is no such entry, or it has no metric that kdvideo has measured.
    """
    entry, _ = find_entry(name, zoo=zoo)
    groups = _groups(entry)
    if not entry.settings or not groups:
        raise ValueError(f"{entry.name} has no metrics that kdvideo has measured: {entry.protocol or 'no protocol'}")
    found: dict[str, Comparison] = {}
    for (num_clips, num_crops), metrics in groups.items():
        result = _measure(entry, root, metrics, num_clips=num_clips, num_crops=num_crops, zoo=zoo)
        for metric in metrics:
            if (now := result.measured.get(metric.name)) is not None:
                found[now.name] = Comparison(now.name, entry.metrics[now.name], now.share, now.num_videos)
    return [found.get(metric) or Comparison(metric, stored) for metric, stored in entry.metrics.items()]


def _groups(entry: ZooEntry) -> dict[tuple[int, int], list[MetricName]]:
    """Groups the metrics that kdvideo has measured by the clips and crops of one evaluation."""
    usual = int(entry.settings.get("EVAL.FINAL_CLIPS_PER_VIDEO", 10))
    groups: dict[tuple[int, int], list[MetricName]] = {}
    for metric in map(parse_metric, entry.metrics):
        if metric.protocol is not None and not metric.data:
            groups.setdefault((metric.num_clips or usual, metric.num_crops), []).append(metric)
    return groups


def _measure(
    entry: ZooEntry, root: Path, metrics: list[MetricName], *, num_clips: int, num_crops: int, zoo: Zoo | None
) -> SplitResult:
    protocols = list(dict.fromkeys(metric.protocol for metric in metrics if metric.protocol is not None))
    cfg = evaluation_config(entry.name, zoo=zoo)
    cfg.DATA.ROOT, cfg.EVAL.FINAL_CLIPS_PER_VIDEO = str(root), num_clips
    with tempfile.TemporaryDirectory() as folder:
        cfg.OUTPUT_DIR = folder
        return evaluate(cfg, protocols=protocols, num_crops=num_crops).splits[0]
