"""The main jobs as functions: each is what the command of that name does, and what `import kdvideo` gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.engine.evaluate import evaluate as evaluate_config
from kdvideo.engine.evaluation_config import evaluation_config
from kdvideo.engine.publish import publish_run
from kdvideo.evaluation.result import Evaluation
from kdvideo.inference.embed import embed_videos
from kdvideo.inference.export import ExportedModel, ExportFormat, export_source
from kdvideo.inference.predict import Predictor, Source, VideoPrediction
from kdvideo.inference.videos import NUM_CLIPS, Videos, list_videos
from kdvideo.paths import SHIPPED_MODEL
from kdvideo.progress import progress_bar
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo, ZooLike, as_zoo
from kdvideo.zoo.names_of_sources import source_name
from kdvideo.zoo.publish_network import publish_network

__all__ = ["embed", "evaluate", "export", "predict", "publish"]


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


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    protocols: Sequence[str] = (),
    num_crops: int = 1,
    splits: Sequence[int] = (),
    out: str | Path | None = None,
    device: str = "",
    **overrides: Any,
) -> Evaluation:
    """Measures what a model is worth: retrieval, kNN, linear probe, classes, pretext.

    A model of kdvideo is measured as it was trained: with the same kind of dataset, split and size of frames.

    Args:
        model: a zoo name, path or URL, or a backbone's name for random weights.
        data: the folder of the dataset. `DATA={"NAME": "class_folders"}` chooses another kind than in training.
        protocols: names from `kdvideo.evaluation.choice.PROTOCOLS`. Defaults to what model and data allow, or to
            classes alone where the model knows those of the data.
        num_crops: crops of each clip, 1 or 3.
        splits: splits of the dataset, e.g. `(1, 2, 3)`. Defaults to the training's.
        out: the folder for `evaluation.json` and the confusion tables. Defaults to `output/eval/` and the model's name.
        device: see `embed`.
        overrides: config keys as in the yaml files: `EVAL={"FINAL_CLIPS_PER_VIDEO": 3}`.

    Returns:
        The shares by name in `metrics`; `splits` have their intervals.

    Raises:
        ValueError: the weights, the data or a setting cannot work.

    Example:
        >>> import kdvideo
        >>> name, folders = "r3d_10_w16.pcl-vcp_ucf101mini-s1", {"NAME": "class_folders"}
        >>> found = kdvideo.evaluate(name, "clips", protocols=["retrieval"], DATA=folders)
        >>> 0 <= found.metrics["retrieval_10clip_at_1"] <= 1
        True
    """
    values = {"DATA": {**overrides.pop("DATA", {}), "ROOT": str(data)}, **overrides}
    if out is not None:
        values["OUTPUT_DIR"] = str(out)
    cfg = evaluation_config(source_name(model), values=values)
    return evaluate_config(cfg, protocols=protocols, num_crops=num_crops, splits=splits, device=device)


def publish(
    model: nn.Module | str | Path,
    name: str,
    *,
    licence: str | None = None,
    zoo: ZooLike | None = None,
    backbone: str = "",
    classes: Sequence[str] = (),
    dataset: str = "not said",
    replace: bool = False,
) -> ZooEntry:
    """Puts a network, or a finished run's, into the zoo: its weights, and all that is needed to build it.

    A network of your own has to be built by a registered backbone, which is imported before it is loaded again.

    Args:
        model: a model in memory; or a run's folder or checkpoint.
        name: the name of the entry.
        licence: the licence of the weights. A run has one of its own, `ZOO.LICENCE`.
        zoo: the zoo to publish into. Defaults to the user's.
        backbone: the name in BACKBONES of what builds the network. Defaults to the one that has built it, or that has
            its tensors.
        classes: the names of a classifier's outputs. Defaults to its `class_names`.
        dataset: what the network was trained on, in words.
        replace: whether an entry with that name may be replaced.

    Raises:
        ValueError: the name is taken, the licence or the classes are missing, or the entry could not be read back.
            Nothing is written then.

    Example:
        >>> import kdvideo
        >>> net = kdvideo.create_model("r3d_10", width=8, clip_spec=kdvideo.ClipSpec(clip_len=8, size=56))
        >>> kdvideo.publish(net, "r3d_10_w8.mine", licence="MIT").params
        228120
        >>> again = kdvideo.create_model("r3d_10_w8.mine", pretrained=True)
    """
    place = as_zoo(zoo) or Zoo.user()
    if isinstance(model, nn.Module):
        if licence is None:
            raise ValueError("nobody else knows the licence of these weights: give `licence`, e.g. 'CC-BY-4.0'")
        return publish_network(
            model,
            name,
            zoo=place,
            backbone=backbone,
            classes=classes,
            dataset=dataset,
            licence=licence,
            replace=replace,
        )
    if backbone or classes or dataset != "not said":
        raise ValueError("a run says its backbone, its classes and its dataset itself: give none")
    return publish_run(Path(model), name, zoo=place, licence=licence, replace=replace)


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
