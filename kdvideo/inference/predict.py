"""Predicting: the classes of videos, or their nearest neighbours in a gallery."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.device import choose_device
from kdvideo.engine.guards import NETWORK_MEMORY, out_of_memory_means
from kdvideo.inference.gallery import Gallery, GalleryFacts
from kdvideo.inference.videos import NUM_CLIPS, VideoOutput, compute_video_outputs
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.names import name_as_text
from kdvideo.zoo.folder import gallery_file
from kdvideo.zoo.load import load_model
from kdvideo.zoo.sources import Weights

__all__ = ["ClassScore", "Predictor", "VideoPrediction", "compute_features"]


@dataclass(frozen=True)
class ClassScore:
    """A class and its probability, in [0, 1].

    The probability is the mean over the clips of a video.
    """

    class_name: str
    probability: float


@dataclass(frozen=True)
class VideoPrediction:
    """The answer for one video.

    Attributes:
        video: the file.
        best: classes by probability, or neighbours by similarity. Empty if the file cannot be read.
        problem: why it cannot be read, in one line. None if there is an answer.
    """

    video: Path
    best: Sequence[Any]
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON types. The file's name is as `kdvideo.names.name_as_text` gives it."""
        return {
            "video": name_as_text(str(self.video)),
            "best": [asdict(one) for one in self.best],
            "problem": self.problem,
        }


class Predictor:
    """A model that answers with classes or neighbours.

    Args:
        source: the model's zoo name, path or URL.
        gallery: a file that `kdvideo embed` wrote. Defaults to none for a classifier, which answers with its classes,
            else to the gallery beside the model's weights.
        device: see `kdvideo.device.choose_device`.

    Raises:
        ValueError: there is no such device; the model has no classes and there is no gallery; or the gallery is
            another model's.
    """

    def __init__(self, source: str, *, gallery: Path | None = None, device: str = "") -> None:
        model, weights = _load(source, device)
        self.model = model
        self.weights = weights
        self.gallery: Gallery | None = None
        self.class_names: list[str] = []  # of a classifier
        if gallery is None and isinstance(model, ClassificationModel):
            numbered = [f"class {place}" for place in range(model.num_classes)]
            self.class_names = list(model.class_names) or numbered
            return
        own = gallery_file(weights.path)
        if gallery is None and not own.is_file():
            raise ValueError(
                f"model {source} tells no classes apart and has no gallery: give `gallery`, "
                "which `kdvideo embed` writes"
            )
        self.gallery = Gallery.read(gallery or own)
        if self.gallery.facts.sha256 != weights.sha256:
            raise ValueError(
                f"gallery {gallery or own} was made by {self.gallery.facts.model}, sha256 "
                f"{self.gallery.facts.sha256[:8]}, not by {source}, sha256 {weights.sha256[:8]}: make it again"
            )

    def __call__(
        self, paths: Sequence[Path], *, top: int = 5, num_workers: int = 0, time_limit: float = TIME_LIMIT
    ) -> Iterator[VideoPrediction]:
        """Yields the `top` best answers for each file, in order. A file may take `time_limit` seconds."""
        model = self.model if self.gallery is None else backbone_of(self.model)
        spec = backbone_of(self.model).clip_spec
        for one in compute_video_outputs(model, paths, spec=spec, num_workers=num_workers, time_limit=time_limit):
            yield VideoPrediction(one.path, self._answer(one, top), one.problem)

    def _answer(self, one: VideoOutput, top: int) -> Sequence[Any]:
        if one.output is None:
            return []
        if self.gallery is not None:
            return self.gallery.nearest(one.output.mean(dim=0), top)
        probabilities = one.output.softmax(dim=-1).mean(dim=0)
        best = probabilities.topk(min(top, len(probabilities)))
        return [
            ClassScore(self.class_names[place], probability)
            for probability, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]


def compute_features(
    source: str,
    paths: Sequence[Path],
    *,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
    device: str = "",
) -> tuple[Iterator[VideoOutput], GalleryFacts]:
    """Computes features `[S, D]` of each video's S clips.

    Args:
        source: the model's zoo name, path or URL.
        paths: the videos.
        num_clips: the number of clips per video.
        num_workers: the number of processes that decode.
        time_limit: seconds that a video may take.
        device: see `kdvideo.device.choose_device`.

    Returns:
        The features, computed as they are asked for, and which model gives them.
    """
    model, weights = _load(source, device)
    backbone = backbone_of(model)
    outputs = compute_video_outputs(
        backbone,
        paths,
        spec=backbone.clip_spec,
        num_clips=num_clips,
        num_workers=num_workers,
        time_limit=time_limit,
    )
    return outputs, GalleryFacts(weights.name, weights.sha256, num_clips)


@out_of_memory_means(NETWORK_MEMORY)
def _load(source: str, device: str) -> tuple[Model, Weights]:
    chosen = choose_device(device)
    model, weights = load_model(source)
    return model.to(chosen).eval(), weights
