"""The pretext protocol: pretext accuracy and retrieval from few clips, decoded once and measured after every epoch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from kdvideo.data.loader import ALL_CORES, create_loader
from kdvideo.data.samples import FixedTuples, TupleConfig
from kdvideo.data.videos import keep_long_enough
from kdvideo.evaluation.clip_outputs import Views, uniform_loader
from kdvideo.evaluation.features import AUTO, CachedClips, clips_to_load, compute_outputs
from kdvideo.evaluation.metrics import Metric, majority_share, retrieval_at_k, video_features
from kdvideo.evaluation.protocol import Classes, Lists, Measurement, Protocol, Subject
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import Model, backbone_of

__all__ = ["EvalConfig", "PretextProtocol"]

_KS = (1, 5)


@dataclass(frozen=True)
class EvalConfig:
    """The settings of the pretext protocol.

    Attributes:
        tuples_per_video: fixed tuples per test video for pretext accuracy.
        clips_per_video: clips per video for retrieval at an epoch's end.
        final_clips_per_video: clips per video at a run's end.
        batch_size: approximate number of clips in one forward pass; 0 for what suits the device.
        num_workers: number of decoding processes; -1 for one on each core but one.
    """

    tuples_per_video: int = 10
    clips_per_video: int = 2
    final_clips_per_video: int = 10
    batch_size: int = AUTO
    num_workers: int = ALL_CORES


class PretextProtocol(Protocol):
    """Pretext accuracy and retrieval from few clips. Held-out training videos get the same metrics as `validation_*`.

    Without a pretext, retrieval alone is measured, of any model.

    The clips of the latest lists stay on disk, so that every epoch is measured on the same clips.

    Args:
        tuples: settings of a tuple.
        config: settings of the protocol.
        directory: the folder for the clips.
    """

    name = "pretext"
    needs = ()

    def __init__(self, tuples: TupleConfig, *, config: EvalConfig, directory: Path) -> None:
        self.tuples = tuples
        self.config = config
        self.directory = directory
        self._lists: Lists | None = None
        self._clips: dict[str, _FixedClips] = {}

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns the reason not to measure a model that does not fit the pretext."""
        pretext = self.tuples.pretext
        if not pretext.num_classes:
            return super().obstacle(model, classes)
        if not isinstance(model, PCLModel):
            return "the model has no pretext head"
        if (answers := model.pretext_head.num_classes) != pretext.num_classes:
            return (
                f"the model has {answers} answers, which are not those of the pretext: {type(pretext).__name__} has "
                f"{pretext.num_classes}"
            )
        layout = self.tuples.layout
        try:
            pretext.check(clip_len=layout.clip.clip_len, size=layout.clip.size, tuple_len=layout.tuple_len)
        except ValueError as error:
            return str(error)
        return None

    def prepare(self, lists: Lists) -> None:
        """Decodes the clips of these lists, unless they are already stored."""
        if lists is self._lists:
            return
        self._lists, self._clips = None, {}  # first frees the space of the stored clips
        parts = {"": lists, **({} if lists.validation is None else {"validation_": lists.validation})}
        self._clips = {prefix: _FixedClips(part, self) for prefix, part in parts.items()}
        self._lists = lists

    def measure(self, subject: Subject) -> Measurement:
        """Measures `pretext_accuracy` and its `majority_share`, `retrieval_at_1` and `retrieval_at_5`.

        Retrieval is left out if the videos have no classes.
        """
        self.prepare(subject.lists)
        model, config = subject.model, self.config
        if self.tuples.pretext.num_classes and not isinstance(model, PCLModel):
            raise TypeError(f"a {type(model).__name__} has no pretext head: {self.name} cannot be measured")
        with_pretext = f"pretext_accuracy: {config.tuples_per_video} fixed tuples a test video; "
        return Measurement(
            self.name,
            [
                metric
                for prefix, clips in self._clips.items()
                for metric in clips.measure(model, subject.device, prefix)
            ],
            words=f"{with_pretext if self.tuples.pretext.num_classes else ''}retrieval_at_k: any of the k nearest "
            f"training videos, mean feature of {config.clips_per_video} uniform clips, cosine",
        )


class _FixedClips:
    """The decoded tuples and clips of a test list and its gallery."""

    def __init__(self, lists: Lists, protocol: PretextProtocol) -> None:
        tuples, config, directory = protocol.tuples, protocol.config, protocol.directory
        self._tuples, self._num_tuple_videos = None, 0
        if tuples.pretext.num_classes:
            self._tuples, self._num_tuple_videos = _cache_tuples(lists, protocol)
        uniform = partial(
            uniform_loader,
            spec=tuples.layout.clip,
            views=Views(config.clips_per_video, tuples.short_side),
            batch_size=config.batch_size,
            num_workers=config.num_workers,
        )
        self._clips = [
            CachedClips(uniform(videos), directory=directory, label="class_id")
            for videos in ((lists.test, lists.train) if lists.have_classes else ())
        ]
        self._batch_size = config.batch_size
        self._num_videos = len(lists.test)

    def measure(self, model: Model, device: torch.device, prefix: str) -> list[Metric]:
        """Measures a model. `prefix` is put before the metrics' names."""
        backbone = backbone_of(model)
        run = partial(compute_outputs, model, spec=backbone.clip_spec, device=device, batch_size=self._batch_size)
        metrics = []
        if self._tuples is not None:
            logits = run(self._tuples, output=lambda clips: model(clips)["pretext_logits"])
            labels = self._tuples.labels
            right = (logits.argmax(dim=-1) == labels).float().mean().item()
            metrics = [
                Metric(f"{prefix}pretext_accuracy", right, self._num_tuple_videos),
                Metric(f"{prefix}majority_share", majority_share(labels), self._num_tuple_videos),
            ]
        if not self._clips:
            return metrics
        test, train = (video_features(run(clips, output=backbone)) for clips in self._clips)
        test_classes, train_classes = (clips.labels for clips in self._clips)
        shares = retrieval_at_k(test, train, query_classes=test_classes, gallery_classes=train_classes, ks=_KS)
        return metrics + [Metric(f"{prefix}retrieval_at_{k}", share, self._num_videos) for k, share in shares.items()]


def _cache_tuples(lists: Lists, protocol: PretextProtocol) -> tuple[CachedClips, int]:
    """Returns the fixed tuples of a test list, and the number of videos that are long enough for them."""
    tuples, config = protocol.tuples, protocol.config
    long_enough = keep_long_enough(lists.test, tuples.layout.min_frames)
    fixed = FixedTuples(long_enough, tuples, num_slots=config.tuples_per_video)
    clips_per_video = config.tuples_per_video * tuples.layout.tuple_len
    num_videos = max(1, clips_to_load(config.batch_size) // clips_per_video)
    loader = create_loader(fixed, batch_size=num_videos, num_workers=config.num_workers)
    return CachedClips(loader, directory=protocol.directory, label="pretext_label"), len(long_enough)
