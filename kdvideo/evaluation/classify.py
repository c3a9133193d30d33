"""Classification: a classifier's answer for a video is its mean answer over uniform clips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from kdvideo.data.videos import VideoList
from kdvideo.evaluation.clip_outputs import Views, uniform_loader
from kdvideo.evaluation.features import CachedClips, compute_outputs
from kdvideo.evaluation.metrics import Metric, top_k_accuracy
from kdvideo.evaluation.protocol import Classes, Measurement, Protocol, Subject
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model

__all__ = [
    "ClassMatch",
    "Classify",
    "HeldOut",
    "clip_accuracy",
    "match_classes",
    "spread_over_classes",
    "video_accuracy",
    "video_cross_entropy",
    "video_probabilities",
]


class Classify(Protocol):
    """A classifier's own answer. Its outputs are compared with the dataset's classes by name."""

    name = "classify"
    needs = ("test",)

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns the reason why the model cannot answer with the dataset's classes. None if it can."""
        if without_classes := super().obstacle(model, classes):
            return without_classes
        if not isinstance(model, ClassificationModel):
            return "the model has no classes of its own"
        if model.class_names and classes.names:
            if unknown := [name for name in classes.names if name not in set(model.class_names)]:
                return (
                    f"the model does not know {len(unknown)} of the {classes.number} classes of the dataset "
                    f"({_few(unknown)}); its own {len(model.class_names)} are {_few(model.class_names)}"
                )
        elif model.num_classes != classes.number:
            return (
                f"the model's {model.num_classes} classes are not the {classes.number} of the dataset, and "
                f"{'the dataset' if model.class_names else 'the model'} does not name them"
            )
        return None

    def measure(self, subject: Subject) -> Measurement:
        """Measures `video_accuracy_10clip`, its `_top5` (both with the number of clips), and `clip_accuracy`."""
        test, views = subject.test, subject.views
        assert test.logits is not None, "a classifier was run"
        match = match_classes(subject.model, subject.classes)
        logits = test.logits if match is None else test.logits[..., list(match.order)]
        probabilities = video_probabilities(logits)
        video = top_k_accuracy(probabilities, test.classes, ks=(1, 5))
        name, count = f"video_accuracy_{views.name}", len(test.records)
        return Measurement(
            self.name,
            [
                Metric(name, video[1], count),
                Metric(f"{name}_top5", video[5], count),
                Metric(f"clip_accuracy{views.crops_name}", clip_accuracy(logits, test.classes), count),
            ],
            words=f"{name}: mean probability of {views.words}; clip_accuracy: of each of these",
            predicted=probabilities.argmax(dim=1),
            answers=[*subject.classes.labels, *(match.others if match else ())],
        )


@dataclass(frozen=True)
class ClassMatch:
    """The outputs of a classifier, matched to a dataset's classes.

    Attributes:
        order: the numbers of all outputs. Those of the dataset's classes come first, in the dataset's order.
        others: the names of the outputs that do not belong to the dataset's classes.
    """

    order: Sequence[int]
    others: Sequence[str]


def match_classes(model: Model, classes: Classes) -> ClassMatch | None:
    """Matches a classifier's outputs to the dataset's classes by name.

    Args:
        model: the network.
        classes: the dataset's classes. The model knows all of them.

    Returns:
        The match. None if the outputs already are the dataset's classes in its order, or if only numbers can be
        compared.
    """
    own = list(model.class_names) if isinstance(model, ClassificationModel) else []
    if not own or not classes.names:
        return None
    others = [name for name in own if name not in set(classes.names)]
    order = [own.index(name) for name in (*classes.names, *others)]
    return None if order == list(range(len(own))) else ClassMatch(order, others)


class HeldOut:
    """Accuracy and cross-entropy on held-out training videos. Their clips are decoded once.

    Args:
        videos: held-out videos with classes.
        model: a classifier. The cache holds clips in its input convention.
        views: the clips and crops of each video.
        batch_size: approximate number of clips in one forward pass; 0 for what suits the device.
        num_workers: number of decoding processes.
        directory: the folder of the cache.
    """

    accuracy = "validation_accuracy"
    cross_entropy = "validation_cross_entropy"

    def __init__(
        self,
        videos: VideoList,
        model: ClassificationModel,
        *,
        views: Views,
        batch_size: int,
        num_workers: int,
        directory: Path,
    ) -> None:
        loader = uniform_loader(
            videos, model.backbone.clip_spec, views=views, batch_size=batch_size, num_workers=num_workers
        )
        self._clips = CachedClips(loader, directory=directory, label="class_id")
        self._batch_size = batch_size
        self.words = f"{self.cross_entropy}, {views.num_clips} clips a held-out training video"

    def __call__(self, model: ClassificationModel, device: torch.device) -> Mapping[str, float]:
        """Measures `validation_accuracy` and `validation_cross_entropy`.

        Args:
            model: the network, on `device`.
            device: the model's device.
        """
        logits = compute_outputs(
            model,
            self._clips,
            output=model,
            spec=model.backbone.clip_spec,
            device=device,
            batch_size=self._batch_size,
        )
        return {
            self.accuracy: video_accuracy(logits, self._clips.labels)[1],
            self.cross_entropy: video_cross_entropy(logits, self._clips.labels),
        }


def video_probabilities(logits: Tensor) -> Tensor:
    """Averages the probabilities of each video's clips: `[V, S, K]` -> `[V, K]`."""
    return logits.softmax(dim=-1).mean(dim=1)


def video_accuracy(logits: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Computes the share of videos whose class is among the k with the highest mean probability.

    Args:
        logits: `[V, S, K]`, for S clips per video.
        classes: the class of each video, `[V]`.
        ks: see `top_k_accuracy`.

    Returns:
        The share in [0, 1] for each k.
    """
    return top_k_accuracy(video_probabilities(logits), classes, ks=ks)


def video_cross_entropy(logits: Tensor, classes: Tensor) -> float:
    """Computes the mean negative logarithm of the probability that videos' classes have.

    Args:
        logits: `[V, S, K]`, for S clips per video. A video's probability is the mean of its clips'.
        classes: the class of each video, `[V]`.

    Returns:
        Nats, at least 0. Guessing among K classes has log K.
    """
    # Summed as logarithms: a probability that rounds to 0 would make it infinite.
    clips = logits.float().log_softmax(dim=-1)
    return F.nll_loss(clips.logsumexp(dim=1) - math.log(clips.shape[1]), classes).item()


def clip_accuracy(logits: Tensor, classes: Tensor) -> float:
    """Computes the share of clips whose most probable class is the class of their video.

    Args:
        logits: `[V, S, K]`, for S clips per video.
        classes: the class of each video, `[V]`.

    Returns:
        A share in [0, 1].
    """
    return (logits.argmax(dim=-1) == classes[:, None]).float().mean().item()


def spread_over_classes(shares: Tensor, known: np.ndarray, *, num_classes: int) -> Tensor:
    """Moves the columns of known classes to their places among all classes.

    The other columns are zeros.

    Args:
        shares: one column per known class, `[V, n]`.
        known: the class of each column, `[n]`.
        num_classes: C, the number of all classes.

    Returns:
        `[V, C]`.
    """
    spread = shares.new_zeros(len(shares), num_classes)
    spread[:, torch.from_numpy(np.asarray(known))] = shares
    return spread


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", .." if len(names) > 3 else "")
