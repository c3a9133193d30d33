"""A network's outputs for the clips of each video of a list, computed once for all protocols."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.loader import create_loader
from kdvideo.data.misfits import tell_short, tell_small
from kdvideo.data.samples import UniformClips
from kdvideo.data.videos import VideoList
from kdvideo.evaluation.features import clips_to_load, compute_outputs
from kdvideo.evaluation.metrics import video_features
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of

__all__ = ["ClipOutputs", "Views", "compute_clip_outputs", "uniform_loader"]


@dataclass(frozen=True)
class Views:
    """The clips and crops of a video that a network sees.

    Attributes:
        num_clips: number of clips, spread evenly over the video.
        short_side: size in pixels to which a frame's shorter side is resized before the crop.
        num_crops: crops per clip: 1 for the centre crop, 3 for left, centre and right (or top, centre and bottom).
    """

    num_clips: int
    short_side: int
    num_crops: int = 1

    @property
    def name(self) -> str:
        """Its part of a metric's name: "10clip", "10clip_3crop"."""
        return f"{self.num_clips}clip{self.crops_name}"

    @property
    def crops_name(self) -> str:
        """The crops' part of a metric's name, e.g. "_3crop"."""
        return "" if self.num_crops == 1 else f"_{self.num_crops}crop"

    @property
    def words(self) -> str:
        """Clips and crops, in words."""
        crops = "" if self.num_crops == 1 else f" x {self.num_crops} crops along the longer side"
        return f"{self.num_clips} uniform clips{crops}"

    @property
    def count(self) -> int:
        """S, the number of views of one video."""
        return self.num_clips * self.num_crops


@dataclass(frozen=True)
class ClipOutputs:
    """A network's outputs for S views of each of V videos.

    Attributes:
        records: the videos.
        features: `[V, S, D]`.
        logits: a classifier's logits, `[V, S, K]`. None if the network is not a classifier.
    """

    records: Sequence[VideoRecord]
    features: Tensor
    logits: Tensor | None

    @property
    def classes(self) -> Tensor:
        """The class of each video, `[V]`."""
        return torch.tensor([record.class_id for record in self.records])

    @property
    def video_features(self) -> Tensor:
        """The scaled mean over views, `[V, D]`. Its length is 1."""
        return video_features(self.features)

    def of(self, records: Sequence[VideoRecord]) -> "ClipOutputs":
        """Returns the part for these videos."""
        places = {record.name: place for place, record in enumerate(self.records)}
        chosen = [places[record.name] for record in records]
        return ClipOutputs(records, self.features[chosen], None if self.logits is None else self.logits[chosen])


def compute_clip_outputs(
    model: Model, videos: VideoList, *, views: Views, batch_size: int, num_workers: int, device: torch.device
) -> ClipOutputs:
    """Runs a network in eval mode over uniform clips of every video.

    Args:
        model: the network, on `device`.
        videos: the videos. Those shorter than a clip are used, too.
        views: the clips and crops of each video.
        batch_size: approximate number of clips in one forward pass; 0 for what suits the device.
        num_workers: number of decoding processes.
        device: the model's device.
    """
    spec = backbone_of(model).clip_spec
    loader = uniform_loader(videos, spec, views=views, batch_size=batch_size, num_workers=num_workers)
    outputs = _run(model, (batch["clips"] for batch in loader), spec=spec, device=device, batch_size=batch_size)
    width = backbone_of(model).num_features
    logits = outputs[..., width:] if isinstance(model, ClassificationModel) else None
    return ClipOutputs(videos.records, outputs[..., :width], logits)


def uniform_loader(videos: VideoList, spec: ClipSpec, *, views: Views, batch_size: int, num_workers: int) -> DataLoader:
    """Builds the loader of uniform clips.

    Its batches have `clips`, uint8 `[B, S, C, T, H, W]`, and `class_id`.

    Args:
        videos: videos of any length.
        spec: the input convention of a clip.
        views: the clips and crops of each video.
        batch_size: approximate number of clips in a batch, see `clips_to_load`. A batch has at least one video.
        num_workers: number of decoding processes.
    """
    tell_short(videos, spec)
    tell_small(videos, views.short_side)
    dataset = UniformClips(
        videos, spec, num_clips=views.num_clips, short_side=views.short_side, num_crops=views.num_crops
    )
    num_videos = max(1, clips_to_load(batch_size) // views.count)
    return create_loader(dataset, batch_size=num_videos, num_workers=num_workers)


def _run(model: Model, batches: Iterator[Tensor], *, spec: ClipSpec, device: torch.device, batch_size: int) -> Tensor:
    """Returns the features, followed by the logits of a classifier, `[V, S, D + K]`."""
    backbone = backbone_of(model)

    def output(clips: Tensor) -> Tensor:
        features = backbone(clips)
        return (
            torch.cat([features, model.head(features)], dim=1) if isinstance(model, ClassificationModel) else features
        )

    return compute_outputs(model, batches, output=output, spec=spec, device=device, batch_size=batch_size)
