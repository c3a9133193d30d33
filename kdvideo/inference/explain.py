"""Explaining by Grad-CAM what in a video speaks for a class, for a classifier or a model with a gallery."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from kdvideo.data.checking.look import look_at
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.data.datasets.records import VideoRecord
from kdvideo.data.plan import plan_uniform_clips
from kdvideo.data.pretexts.base import ClipFrames
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.data.readers.file_errors import VideoError
from kdvideo.data.readers.outage import LostVideoError
from kdvideo.data.videos import VideoList
from kdvideo.inference.gallery import Gallery
from kdvideo.inference.gradcam import find_last_map, grad_cam
from kdvideo.inference.predict import Predictor
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import backbone_of
from kdvideo.registry import unknown_name

__all__ = ["Scores", "VideoCam", "explain_video", "scores_of"]

_BATCH = 4  # number of clips in a backward pass
_MOST_CLIPS = 64  # largest number of clips of a video


@dataclass(frozen=True)
class VideoCam:
    """Grad-CAM of one video.

    Attributes:
        numbers: the places in the video of the F frames that some clip has.
        frames: these frames as the network sees them, uint8 `[F, 3, H, W]`.
        heat: the heat of each pixel, 0 or more, `[F, H, W]`: the mean over all clips that have the frame.
        score: the score that was explained and its value, in words.
        layer: the name and the places of the map that explains it, in words.
    """

    numbers: list[int]
    frames: Tensor
    heat: Tensor
    score: str
    layer: str


@dataclass(frozen=True)
class Scores:
    """A model's score of each class.

    Attributes:
        kind: what the scores are, in words.
        names: the names of the C classes.
        of: maps a video's feature, the mean over its clips `[D]`, to the scores `[C]`.
    """

    kind: str
    names: list[str]
    of: Callable[[Tensor], Tensor]


def explain_video(
    predictor: Predictor, path: Path, *, class_name: str | None = None, time_limit: float = TIME_LIMIT
) -> VideoCam:
    """Computes Grad-CAM for a whole video. Its clips overlap by a half.

    A clip's map has few time steps, often one, so what changes over a video is told by clip after clip. The score is
    that of the whole video and depends on the mean of all clips' features. Its gradient therefore reaches each clip by
    the same vector, d score / d feature, and the heat of the clips can be compared. A cosine does not change with a
    feature's length: its heat is as much against the class as for it. What is for it is shown.

    Args:
        predictor: a classifier, or a model with a gallery of at least two classes.
        path: the video.
        class_name: the class to explain. Defaults to the class with the highest score.
        time_limit: seconds for looking at the video, and again for reading its clips.

    Raises:
        ValueError: the file cannot be read, there is no such class, or the backbone has no suitable map.
    """
    backbone, scores = backbone_of(predictor.model), scores_of(predictor)
    spec, device = backbone.clip_spec, next(backbone.parameters()).device
    if class_name is not None and class_name not in scores.names:
        raise unknown_name("class", class_name, scores.names)
    plans, clips = _read_clips(path, spec, time_limit=time_limit)
    batches = [prepare_clips(batch.to(device), spec) for batch in clips.split(_BATCH)]
    name, layer, places = find_last_map(backbone, batches[0][:1])
    with torch.no_grad():
        feature = torch.cat([backbone(batch) for batch in batches]).mean(dim=0)
    of_classes = scores.of(feature.requires_grad_())
    best = int(of_classes.argmax()) if class_name is None else scores.names.index(class_name)
    (gradient,) = torch.autograd.grad(of_classes[best], feature)
    heat = torch.cat([grad_cam(lambda clips: backbone(clips) @ gradient, layer, batch).cpu() for batch in batches])
    return VideoCam(
        *_over_time(plans, clips, heat),
        score=f"{scores.kind} {scores.names[best]}, {of_classes[best].item():.3f}",
        layer=f"{name}, {' x '.join(map(str, places))} places for {spec.clip_len} frames",
    )


def scores_of(predictor: Predictor) -> Scores:
    """Returns how a model scores classes.

    A classifier gives logits. With a gallery it is the cosine to the mean feature `[D]` of each class.

    Raises:
        ValueError: the gallery has less than two classes.
    """
    model, gallery = predictor.model, predictor.gallery
    if gallery is not None:
        names, means = _class_means(gallery)
        means = means.to(next(model.parameters()).device)
        return Scores("cosine to the mean feature of", names, lambda feature: means @ F.normalize(feature, dim=0))
    if isinstance(model, ClassificationModel):
        return Scores("logit of", predictor.class_names, model.head)
    raise TypeError(f"{type(model).__name__} has no classes: give the predictor a gallery")


def _class_means(gallery: Gallery) -> tuple[list[str], Tensor]:
    """Returns the classes and their mean features, `[C, D]`."""
    names = sorted(set(gallery.class_names))
    if len(names) < 2:
        raise ValueError(f"the gallery has one class, {names[0]!r}: embed a folder of folders, one a class")
    own = torch.tensor([names.index(name) for name in gallery.class_names])
    means = torch.stack([gallery.features[own == number].mean(dim=0) for number in range(len(names))])
    return names, F.normalize(means, dim=1)


def _read_clips(path: Path, spec: ClipSpec, *, time_limit: float) -> tuple[list[ClipFrames], Tensor]:
    """Reads clips that overlap by a half or are interleaved: frame numbers, and pixels uint8 `[S, 3, T, H, W]`."""
    found = look_at(path, time_limit=time_limit).found
    if found.problem:
        raise VideoError(path, found.problem)
    plans = plan_uniform_clips(spec, min(_num_clips(spec, found.frames), _MOST_CLIPS), num_frames=found.frames)
    video = VideoList(
        [VideoRecord(path, path.name, class_id=None)], [found.frames], [found.reader], time_limit=time_limit
    )
    try:
        clips = video.read_clips(
            0,
            plans,
            places=[(spec.center, spec.center)] * len(plans),
            short_side=spec.own_short_side,
            size=spec.size,
            resizing=spec.resizing,
        )
    except LostVideoError as lost:
        raise VideoError(path, lost.reason) from None
    return plans, torch.stack(clips)


def _num_clips(spec: ClipSpec, num_frames: int) -> int:
    if spec.sampling == "uniform":
        return math.ceil(num_frames / spec.clip_len)  # each frame once
    return math.ceil(2 * max(num_frames - spec.extent, 0) / spec.extent) + 1


def _over_time(plans: list[ClipFrames], clips: Tensor, heat: Tensor) -> tuple[list[int], Tensor, Tensor]:
    """Puts clips `[S, 3, T, H, W]` and maps `[S, T, H, W]` into the video's order. Each frame stays once."""
    places: dict[int, list[tuple[int, int]]] = {}
    for clip, frames in enumerate(plans):
        for step, number in enumerate(frames):
            places.setdefault(number, []).append((clip, step))
    numbers = sorted(places)
    means = [torch.stack([heat[place] for place in places[number]]).mean(dim=0) for number in numbers]
    firsts = [clips[clip, :, step] for clip, step in (places[number][0] for number in numbers)]
    return numbers, torch.stack(firsts), torch.stack(means)
