"""Classification: what a classifier says of videos, by the mean over uniform clips of what it says of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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
    "HeldOutAccuracy",
    "clip_accuracy",
    "match_classes",
    "spread_over_classes",
    "video_accuracy",
    "video_probabilities",
]


class Classify(Protocol):
    """A classifier's own answer, which goes by the names of classes."""

    name = "classify"
    needs = ("test",)

    def obstacle(self, model: Model, classes: Classes) -> str | None:
        """Returns an obstacle if the model does not know the classes."""
        if classes.number is None:
            return "the videos have no classes"
        if not isinstance(model, ClassificationModel):
            return "the model has no classes of its own"
        if model.class_names and classes.names:
            if unknown := [name for name in classes.names if name not in set(model.class_names)]:
                return (
                    f"the model does not know {len(unknown)} of the {classes.number} classes of DATA.ROOT "
                    f"({_few(unknown)}); its own {len(model.class_names)} are {_few(model.class_names)}"
                )
        elif model.num_classes != classes.number:
            return (
                f"the model's {model.num_classes} classes are not the {classes.number} of DATA.ROOT, and "
                f"{'the dataset' if model.class_names else 'the model'} does not name them"
            )
        return None

    def measure(self, subject: Subject) -> Measurement:
        """Measures `video_accuracy_10clip` and its `_top5`, named by the number of clips, and `clip_accuracy`."""
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
    """A classifier's outputs beside a dataset's classes.

    Attributes:
        order: the numbers of all outputs, first those of the dataset's classes in the dataset's order.
        others: the names of the outputs that are none of the dataset's classes.
    """

    order: Sequence[int]
    others: Sequence[str]


def match_classes(model: Model, classes: Classes) -> ClassMatch | None:
    """Matches a classifier's outputs to the dataset's classes by name.

    Args:
        model: the network.
        classes: of the dataset, all known to the model.

    Returns:
        The match; None where the outputs are the dataset's classes in its order already, or where numbers are all
        that can be compared.
    """
    own = list(model.class_names) if isinstance(model, ClassificationModel) else []
    if not own or not classes.names:
        return None
    others = [name for name in own if name not in set(classes.names)]
    order = [own.index(name) for name in (*classes.names, *others)]
    return None if order == list(range(len(own))) else ClassMatch(order, others)


class HeldOutAccuracy:
    """Video accuracy on held-out training videos, whose clips are decoded once.

    Args:
        videos: held out, with classes.
        model: a classifier; its clips are cached.
        views: what the network sees of each video.
        batch_size: clips in one forward, about.
        num_workers: processes that decode.
        directory: where the cache lies.
    """

    name = "validation_accuracy"

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
        self.words = f"{self.name}, {views.num_clips} clips a held-out training video"

    def __call__(self, model: ClassificationModel, device: torch.device) -> Mapping[str, float]:
        """Measures `validation_accuracy`.

        Args:
            model: on `device`.
            device: where the model is.
        """
        logits = compute_outputs(model, self._clips, output=model, spec=model.backbone.clip_spec, device=device)
        return {self.name: video_accuracy(logits, self._clips.labels)[1]}


def video_probabilities(logits: Tensor) -> Tensor:
    """Averages the probabilities of each video's clips: `[V, S, K]` -> `[V, K]`."""
    return logits.softmax(dim=-1).mean(dim=1)


def video_accuracy(logits: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Computes the share of videos whose class is among the k with the highest mean probability.

    Args:
        logits: `[V, S, K]` of S clips per video.
        classes: `[V]`.
        ks: as in `top_k_accuracy`.

    Returns:
        k -> share in [0, 1].
    """
    return top_k_accuracy(video_probabilities(logits), classes, ks=ks)


def clip_accuracy(logits: Tensor, classes: Tensor) -> float:
    """Computes the share of clips whose most probable class is their video's.

    Args:
        logits: `[V, S, K]` of S clips per video.
        classes: `[V]`.

    Returns:
        A share in [0, 1].
    """
    return (logits.argmax(dim=-1) == classes[:, None]).float().mean().item()


def spread_over_classes(shares: Tensor, known: np.ndarray, *, num_classes: int) -> Tensor:
    """Puts the columns of known classes at their places among all.

    The other columns are zeros.

    Args:
        shares: `[V, n]`.
        known: the class of each column, `[n]`.
        num_classes: C.

    Returns:
        `[V, C]`.
    """
    spread = shares.new_zeros(len(shares), num_classes)
    spread[:, torch.from_numpy(np.asarray(known))] = shares
    return spread


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", .." if len(names) > 3 else "")
