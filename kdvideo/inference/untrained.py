"""Features of a model's network with random weights, to compare a trained model with its initial state."""

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from kdvideo.data.datasets.records import check_inside
from kdvideo.data.readers.decode import TIME_LIMIT
from kdvideo.device import choose_device
from kdvideo.inference.gallery import Gallery
from kdvideo.inference.videos import VideoOutput, compute_video_outputs
from kdvideo.names import name_of_text
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.sources import resolve_weights

__all__ = ["untrained_gallery"]


def untrained_gallery(
    gallery: Gallery,
    root: Path,
    *,
    source: str | None = None,
    seed: int = 0,
    num_workers: int = 0,
    time_limit: float = TIME_LIMIT,
) -> Gallery:
    """Computes a gallery's features before any training.

    Args:
        gallery: the trained model's gallery.
        root: the folder that was embedded.
        source: the model's zoo name, path or URL. Defaults to the gallery's name for it.
        seed: the seed of the random weights.
        num_workers: the number of processes that decode.
        time_limit: seconds that a video may take.

    Raises:
        ValueError: there is no such folder or model, the gallery is another model's, or a video can no longer be read.
    """
    facts = gallery.facts
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder: give the one that was embedded")
    weights = resolve_weights(source or facts.model)
    if weights.sha256 != facts.sha256:
        raise ValueError(
            f"the gallery was made by {facts.model}, sha256 {facts.sha256[:8]}, not by {weights.source}, sha256 "
            f"{weights.sha256[:8]}: make it again"
        )
    spec = read_contents(weights).spec_with(None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = spec.build_backbone()
    outputs = compute_video_outputs(
        backbone.to(choose_device()),
        [root / check_inside(name_of_text(name), origin="the gallery") for name in gallery.names],
        spec=backbone.clip_spec,
        num_clips=facts.num_clips,
        num_workers=num_workers,
        time_limit=time_limit,
    )
    progress = tqdm(outputs, total=len(gallery.names), unit="video", leave=False, disable=None)
    return Gallery(gallery.names, gallery.class_names, torch.stack([_feature(one) for one in progress]), facts)


def _feature(one: VideoOutput) -> Tensor:
    if one.output is None:
        raise ValueError(f"video {one.path}, which the gallery has a feature of: {one.problem}")
    return one.output.mean(dim=0)
