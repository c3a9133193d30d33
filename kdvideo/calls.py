"""The jobs of a trained model as functions: each is what the command of that name does. No trainer is loaded."""

from pathlib import Path

import numpy as np

from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.inference.embed import embed_videos
from kdvideo.inference.export import ExportedModel, ExportFormat, export_source
from kdvideo.inference.predict import Predictor, Source, VideoPrediction
from kdvideo.inference.videos import NUM_CLIPS, Videos, list_videos
from kdvideo.paths import SHIPPED_MODEL
from kdvideo.progress import progress_bar

__all__ = ["embed", "export", "predict"]


def embed(
    videos: Videos,
    *,
    model: Source = SHIPPED_MODEL,
    out: str | Path | None = None,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
    device: str = "",
) -> tuple[list[str], np.ndarray]:
    """Computes the mean feature of each video. Videos that cannot be read are left out, each with a warning.

    Args:
        videos: a video, a folder of videos, or several of them.
        model: a zoo name, path or URL, or a model in memory, whose backbone gives the features.
        out: a table to write as well, which ends in .parquet or .safetensors, for a folder of videos.
        num_clips: the number of clips per video.
        num_workers: the number of processes that decode. 0 for this one.
        time_limit: seconds that a video may take.
        device: "cpu", "cuda" or "cuda:1". Defaults to the GPU if there is one.

    Returns:
        The paths of the V videos, and their features, float32 `[V, D]`.

    Raises:
        ValueError: a path or the model does not exist, or a folder holds no video.

    Example:
        >>> import kdvideo
        >>> names, features = kdvideo.embed("clips")
        >>> len(names), features.shape
        (18, (18, 128))
    """
    found = embed_videos(
        videos,
        model=model,
        out=out,
        num_clips=num_clips,
        num_workers=num_workers,
        time_limit=time_limit,
        device=device,
    )
    return found.names, found.features


def predict(
    videos: Videos,
    *,
    model: Source = SHIPPED_MODEL,
    gallery: str | Path | None = None,
    top: int = 5,
    num_clips: int = NUM_CLIPS,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
    device: str = "",
) -> list[VideoPrediction]:
    """Tells the classes of videos, or their nearest videos in a gallery. `Predictor` does so one by one.

    Args:
        videos: a video, a folder of videos, or several of them.
        model: a zoo name, path or URL, or a model in memory.
        gallery: a table that `embed` wrote. Defaults to none for a classifier, else to the one beside the weights.
        top: number of answers per video, the best first.
        num_clips: see `embed`.
        num_workers: see `embed`.
        time_limit: see `embed`.
        device: see `embed`.

    Returns:
        The answer for each video, in order. A video that cannot be read has none, and a `problem`.

    Raises:
        ValueError: see `embed`; or the gallery is another model's.

    Example:
        >>> import kdvideo
        >>> (answer,) = kdvideo.predict("video.mp4", top=3)
        >>> len(answer.best), type(answer.best[0]).__name__
        (3, 'Neighbour')
    """
    paths = list_videos(videos)  # before a model is loaded
    predictor = Predictor(model, gallery=gallery, device=device)
    answers = predictor(paths, top=top, num_clips=num_clips, num_workers=num_workers, time_limit=time_limit)
    return list(progress_bar(answers, total=len(paths), unit="video"))


def export(model: Source, out: str | Path | None = None, *, format: ExportFormat = "onnx") -> ExportedModel:
    """Writes a model to a file for other runtimes. The file is kept only if it gives the model's own outputs.

    It takes decoded pixels, uint8 `[B, 3, T, H, W]`, and gives features or class logits `[B, D]`. Its metadata
    `kdvideo` has name, hash, clip spec, short side, classes and the kind of the output.

    Args:
        model: a zoo name, path or URL, or a model in memory.
        out: the file. Defaults to the model's name with `.onnx` or `.pt2`, in the working folder.
        format: "onnx", or "torch-export" for `torch.export.load` and AOTInductor.

    Raises:
        ValueError: the file's outputs differ from the model's.
        ImportError: a package that the format needs is not installed.

    Example:
        >>> import kdvideo
        >>> kdvideo.export("r3d_10_w16.pcl-vcp_ucf101mini-s1", format="torch-export").path.name
        'r3d_10_w16.pcl-vcp_ucf101mini-s1.pt2'
    """
    return export_source(model, out, format=format)
