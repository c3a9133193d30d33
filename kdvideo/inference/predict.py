"""Predicting: the classes of videos, or their nearest neighbours in a gallery."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor, nn

from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.device import choose_device
from kdvideo.engine.guards import NETWORK_MEMORY, out_of_memory_means
from kdvideo.evaluation.features import compute_outputs
from kdvideo.inference.gallery import Gallery, GalleryFacts
from kdvideo.inference.stream import FrameAnswer, stream_clips
from kdvideo.inference.videos import NUM_CLIPS, VideoOutput, Videos, compute_video_outputs, list_videos
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, backbone_of
from kdvideo.names import name_as_text
from kdvideo.zoo.folder import gallery_file
from kdvideo.zoo.load import load_model
from kdvideo.zoo.names_of_sources import source_name
from kdvideo.zoo.sources import Weights

__all__ = ["ClassScore", "Predictor", "Source", "VideoPrediction", "compute_features", "load_source"]

Source = str | Path | Model  # a zoo name, path or URL, or a model in memory


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
        source: the model's zoo name, path or URL, or a model in memory.
        gallery: a file that `kdvideo embed` wrote. Defaults to none for a classifier, which answers with its classes,
            else to the gallery beside the model's weights.
        device: see `kdvideo.device.choose_device`.

    Attributes:
        model: the model on the device. It answers in eval mode, whatever its own mode is.
        weights: its weights. None for a model in memory.
        gallery: the gallery, or None.
        class_names: the names of a classifier's outputs. Empty with a gallery.

    Raises:
        ValueError: there is no such device; the model has no classes and there is no gallery; or the gallery is
            another model's.
    """

    def __init__(self, source: Source, *, gallery: str | Path | None = None, device: str = "") -> None:
        model, weights = load_source(source, device)
        self.model = model
        self.weights = weights
        self.gallery: Gallery | None = None
        self.class_names: list[str] = []
        if gallery is None and isinstance(model, ClassificationModel) and model.num_classes:
            numbered = [f"class {place}" for place in range(model.num_classes)]
            self.class_names = list(model.class_names) or numbered
            return
        if weights is None:
            raise ValueError(
                "the model in memory tells no classes apart, and galleries are of published weights: give a "
                "classifier, or publish the model and give its name"
            )
        self.gallery = _own_gallery(weights, gallery)

    def __call__(
        self,
        videos: Videos,
        *,
        top: int = 5,
        num_clips: int = NUM_CLIPS,
        num_workers: int = 0,
        time_limit: float = TIME_LIMIT,
    ) -> Iterator[VideoPrediction]:
        """Returns an iterator over the answers for each file, in order.

        Args:
            videos: a video, a folder of videos, or several of them.
            top: number of answers per video, the best first.
            num_clips: the number of clips per video.
            num_workers: the number of processes that decode.
            time_limit: seconds that a video may take.

        Raises:
            ValueError: a path does not exist, a folder holds no video, or a number is below 1.
        """
        check_counts(top=top, num_clips=num_clips)
        outputs = compute_video_outputs(
            self._network,
            list_videos(videos),
            spec=self._spec,
            num_clips=num_clips,
            num_workers=num_workers,
            time_limit=time_limit,
        )
        return (VideoPrediction(one.path, self._answer(one.output, top), one.problem) for one in outputs)

    def stream(self, frames: Iterable[ArrayLike], *, every: int = 4, top: int = 5) -> Iterator[FrameAnswer]:
        """Yields answers while frames come, as for clips of a file; see `kdvideo.inference.stream.stream_clips`.

        Args:
            frames: decoded pictures, uint8 `[H, W, 3]` or `[3, H, W]`, RGB, e.g. of a camera.
            every: number of frames from one answer to the next.
            top: number of answers, the best first.

        Example:
            >>> import numpy as np
            >>> predictor = Predictor("r3d_10_w16.pcl-vcp_ucf101mini-s1")
            >>> frames = (np.full((72, 96, 3), number, dtype=np.uint8) for number in range(20))
            >>> for answer in predictor.stream(frames, every=6, top=3):
            ...     print(answer.frame, len(answer.best))
            7 3
            13 3
            19 3

        Raises:
            ValueError: a number is below 1, or a frame is no picture of uint8.
        """
        check_counts(top=top, every=every)
        return self._answer_stream(frames, every=every, top=top)

    def _answer_stream(self, frames: Iterable[ArrayLike], *, every: int, top: int) -> Iterator[FrameAnswer]:
        device = next(self.model.parameters()).device
        for number, clip in stream_clips(frames, self._spec, every=every):
            output = compute_outputs(
                self._network, [clip[None, None]], output=self._network, spec=self._spec, device=device
            )
            yield FrameAnswer(number, self._answer(output[0], top))

    @property
    def _network(self) -> Model:
        return self.model if self.gallery is None else backbone_of(self.model)

    @property
    def _spec(self) -> ClipSpec:
        return backbone_of(self.model).clip_spec

    def _answer(self, output: Tensor | None, top: int) -> Sequence[Any]:
        """Returns the best answers for the outputs `[S, D]` of S clips."""
        if output is None:
            return []
        if self.gallery is not None:
            return self.gallery.nearest(output.mean(dim=0), top)
        probabilities = output.softmax(dim=-1).mean(dim=0)
        best = probabilities.topk(min(top, len(probabilities)))
        return [
            ClassScore(self.class_names[place], probability)
            for probability, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]


def _own_gallery(weights: Weights, gallery: str | Path | None) -> Gallery:
    """Reads a gallery, by default the one beside the weights. It must have been made by them."""
    path = gallery_file(weights.path) if gallery is None else Path(gallery)
    if gallery is None and not path.is_file():
        raise ValueError(
            f"model {weights.source} tells no classes apart and has no gallery: give `gallery`, "
            "which `kdvideo embed` writes"
        )
    found = Gallery.read(path)
    if found.facts.sha256 != weights.sha256:
        raise ValueError(
            f"gallery {path} was made by {found.facts.model}, sha256 {found.facts.sha256[:8]}, not by "
            f"{weights.source}, sha256 {weights.sha256[:8]}: make it again"
        )
    return found


def compute_features(
    source: Source,
    videos: Videos,
    *,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
    device: str = "",
) -> tuple[Iterator[VideoOutput], GalleryFacts | None]:
    """Computes features `[S, D]` of each video's S clips.

    Args:
        source: see `Predictor`.
        videos: a video, a folder of videos, or several of them.
        num_clips: the number of clips per video.
        num_workers: the number of processes that decode.
        time_limit: seconds that a video may take.
        device: see `kdvideo.device.choose_device`.

    Returns:
        The features, computed as they are asked for, and which model gives them. It is None for a model in memory.
    """
    model, weights = load_source(source, device)
    backbone = backbone_of(model)
    outputs = compute_video_outputs(
        backbone,
        list_videos(videos),
        spec=backbone.clip_spec,
        num_clips=num_clips,
        num_workers=num_workers,
        time_limit=time_limit,
    )
    return outputs, None if weights is None else GalleryFacts(weights.name, weights.sha256, num_clips)


def check_counts(**numbers: int) -> None:
    """Checks arguments that count something.

    Raises:
        ValueError: one is below 1.
    """
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{name}` is {value}; it must be 1 or more")


@out_of_memory_means(NETWORK_MEMORY)
def load_source(source: Source, device: str = "") -> tuple[Model, Weights | None]:
    """Returns a model on the device that computes, and its weights.

    A model in memory stays as it is, in its mode and on its device. For another device, it is copied. It has no
    weights, None.
    """
    if isinstance(source, nn.Module):
        if not hasattr(backbone_of(source), "clip_spec"):
            raise ValueError(
                f"a {type(source).__name__} in memory does not say what clips it takes: derive it from "
                "kdvideo.models.Backbone, or give it a `clip_spec`"
            )
        own = next(source.parameters()).device
        chosen = choose_device(device) if device else own
        return (source if chosen == own else copy.deepcopy(source).to(chosen)), None
    chosen = choose_device(device)
    model, weights = load_model(source_name(source))
    return model.to(chosen).eval(), weights
