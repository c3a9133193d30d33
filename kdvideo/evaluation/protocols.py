"""When what is measured: the cheap evaluation at an epoch's end, and the 10-clip retrieval once at the end."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdvideo.data.loader import create_loader
from kdvideo.data.samples import FixedTuples, TupleConfig, UniformClips
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.evaluation.clip_outputs import Views, compute_clip_outputs
from kdvideo.evaluation.features import CachedClips, compute_outputs
from kdvideo.evaluation.measure import measure_retrieval
from kdvideo.evaluation.metrics import majority_share, retrieval_at_k, video_features
from kdvideo.models.pcl import PCLModel

__all__ = ["EpochEvaluator", "EvalConfig", "evaluate_retrieval", "have_classes"]

logger = logging.getLogger("kdvideo")
EPOCH_KS = (1, 5)


@dataclass(frozen=True)
class EvalConfig:
    """How much is measured.

    Attributes:
        tuples_per_video: fixed tuples of a test video, for pretext accuracy.
        clips_per_video: clips of a video for retrieval at an epoch's end.
        final_clips_per_video: clips of a video for retrieval at the end.
        batch_size: clips in one forward, about.
        num_workers: processes that decode.
    """

    tuples_per_video: int = 10
    clips_per_video: int = 2
    final_clips_per_video: int = 10
    batch_size: int = 32
    num_workers: int = 2


class EpochEvaluator:
    """Measures a model on the same cached clips every time.

    Args:
        train: the gallery of retrieval.
        test: queries of retrieval; those with room for a tuple give the pretext's tuples.
        tuples: what a tuple is.
        config: how much.
        directory: where the caches lie.
    """

    def __init__(
        self, train: VideoList, test: VideoList, *, tuples: TupleConfig, config: EvalConfig, directory: Path
    ) -> None:
        long_enough = keep_long_enough(test, tuples.layout.min_frames)
        fixed = FixedTuples(long_enough, tuples, num_slots=config.tuples_per_video)
        clips_per_video = config.tuples_per_video * tuples.layout.tuple_len
        loader = _create_loader(fixed, clips_per_video, config)
        self._tuples = CachedClips(loader, directory=directory, label="pretext_label")
        self._clips = [
            CachedClips(
                _uniform_loader(videos, tuples, num_clips=config.clips_per_video, config=config),
                directory=directory,
                label="class_id",
            )
            for videos in ((test, train) if have_classes(test, train) else ())
        ]

    def __call__(self, model: PCLModel, device: torch.device) -> dict[str, float]:
        """`pretext_accuracy` beside its `majority_share`, `retrieval_at_1`, `retrieval_at_5`, all in [0, 1].

        Retrieval is left out where the videos have no classes.
        """
        spec = model.backbone.clip_spec
        logits = compute_outputs(
            model, self._tuples, output=lambda clips: model(clips)["pretext_logits"], spec=spec, device=device
        )
        labels = self._tuples.labels
        accuracy = {
            "pretext_accuracy": (logits.argmax(dim=-1) == labels).float().mean().item(),
            "majority_share": majority_share(labels),
        }
        if not self._clips:
            return accuracy
        test, train = (_features(model, cache, device) for cache in self._clips)
        test_classes, train_classes = (cache.labels for cache in self._clips)
        retrieval = retrieval_at_k(test, train, query_classes=test_classes, gallery_classes=train_classes, ks=EPOCH_KS)
        return {**accuracy, **{f"retrieval_at_{k}": share for k, share in retrieval.items()}}


def evaluate_retrieval(
    model: PCLModel,
    *,
    train: VideoList,
    test: VideoList,
    tuples: TupleConfig,
    config: EvalConfig,
    device: torch.device,
) -> dict[str, float]:
    """Retrieval from `final_clips_per_video` uniform clips, every video counted.

    Returns:
        `retrieval_10clip_at_1`, `_5`, `_10`, `_20`, `_50` in [0, 1], the number of clips in the key as configured;
        nothing where the videos have no classes.
    """
    if not have_classes(test, train):
        logger.info("no retrieval: the videos have no classes")
        return {}
    views = Views(config.final_clips_per_video, tuples.short_side)
    options: dict[str, Any] = {"batch_size": config.batch_size, "num_workers": config.num_workers, "device": device}
    outputs = [compute_clip_outputs(model, videos, views=views, **options) for videos in (test, train)]
    return dict(measure_retrieval(*outputs, views=views).metrics)


def have_classes(*lists: VideoList) -> bool:
    """Whether every video has a class."""
    return all(record.class_id is not None for videos in lists for record in videos.records)


def _uniform_loader(videos: VideoList, tuples: TupleConfig, *, num_clips: int, config: EvalConfig) -> DataLoader:
    dataset = UniformClips(videos, tuples.layout.clip, num_clips=num_clips, short_side=tuples.short_side)
    return _create_loader(dataset, num_clips, config)


def _create_loader(dataset: Dataset, clips_per_video: int, config: EvalConfig) -> DataLoader:
    videos_in_batch = max(1, config.batch_size // clips_per_video)
    return create_loader(dataset, batch_size=videos_in_batch, num_workers=config.num_workers)


def _features(model: PCLModel, batches: Iterable[Tensor], device: torch.device) -> Tensor:
    spec = model.backbone.clip_spec
    return video_features(compute_outputs(model, batches, output=model.backbone, spec=spec, device=device))
