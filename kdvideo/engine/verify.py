"""Whether a published model still gives the metrics of its entry: `kdvideo zoo verify --metrics`."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kdvideo.engine.evaluate import evaluate
from kdvideo.engine.evaluation_config import config_of_entry, evaluation_config
from kdvideo.engine.evaluation_result import SplitResult
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.sources import find_entry

__all__ = ["Comparison", "verify_metrics"]

_PROTOCOLS = {  # beginning of a metric's name -> which protocol measures it
    "pretext_accuracy": "pretext",
    "majority_share": "pretext",
    "retrieval_at_": "pretext",
    "validation_pretext_accuracy": "pretext",
    "validation_majority_share": "pretext",
    "validation_retrieval_at_": "pretext",
    "retrieval_": "retrieval",
    "knn_": "knn",
    "linear_probe_": "linear_probe",
    "video_accuracy_": "classify",
    "clip_accuracy": "classify",
}
_ROUNDING = 1e-5  # of a share that an entry gives in fewer digits


@dataclass(frozen=True)
class Comparison:
    """A metric of an entry beside what was measured now.

    Attributes:
        metric: its name.
        stored: what the entry says.
        measured: what came out now; None where nothing here measures it.
        num_videos: how many videos it counts.
    """

    metric: str
    stored: float
    measured: float | None = None
    num_videos: int = 1

    @property
    def agrees(self) -> bool:
        """One video more or less may be right, or all clips or tuples of one; what is not measured agrees."""
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
    """Measures a model as its entry's config and the names of its metrics say, and compares.

    Metrics with a prefix are of other data, and not measured.

    Args:
        name: of the entry, with or without `kdvideo://`.
        root: the folder of the videos that it was trained on.
        zoo: a zoo to look into first.

    Raises:
        ValueError: no such entry, or nothing in it that kdvideo has measured.
    """
    entry, _ = find_entry(name, zoo=zoo)
    groups = _groups(entry)
    if not config_of_entry(entry) or not groups:
        raise ValueError(f"{entry.name} has no metrics that kdvideo has measured: {entry.protocol or 'no protocol'}")
    found: dict[str, Comparison] = {}
    for (num_clips, num_crops), metrics in groups.items():
        result = _measure(entry, root, metrics, num_clips=num_clips, num_crops=num_crops, zoo=zoo)
        for metric in metrics:
            if metric in result.metrics:
                found[metric] = Comparison(
                    metric, entry.metrics[metric], result.metrics[metric], result.num_videos(metric)
                )
    return [found.get(metric) or Comparison(metric, stored) for metric, stored in entry.metrics.items()]


def _groups(entry: ZooEntry) -> dict[tuple[int, int], list[str]]:
    """Metrics that one evaluation gives, by its clips and crops."""
    usual = int(config_of_entry(entry).get("EVAL.FINAL_CLIPS_PER_VIDEO", 10))
    groups: dict[tuple[int, int], list[str]] = {}
    for metric in entry.metrics:
        if _protocol(metric):
            clips, crops = (re.search(rf"_(\d+){what}(_|$)", metric) for what in ("clip", "crop"))
            views = int(clips[1]) if clips else usual, int(crops[1]) if crops else 1
            groups.setdefault(views, []).append(metric)
    return groups


def _protocol(metric: str) -> str | None:
    return next((protocol for start, protocol in _PROTOCOLS.items() if metric.startswith(start)), None)


def _measure(
    entry: ZooEntry, root: Path, metrics: list[str], *, num_clips: int, num_crops: int, zoo: Zoo | None
) -> SplitResult:
    protocols = dict.fromkeys(protocol for metric in metrics if (protocol := _protocol(metric)))
    with tempfile.TemporaryDirectory() as folder:
        overrides = ["DATA.ROOT", str(root), "OUTPUT_DIR", folder, "EVAL.FINAL_CLIPS_PER_VIDEO", str(num_clips)]
        if zoo is not None:
            overrides += ["ZOO.DIR", str(zoo)]
        cfg = evaluation_config(entry.name, None, overrides)
        return evaluate(cfg, protocols=tuple(protocols), num_crops=num_crops).splits[0]
