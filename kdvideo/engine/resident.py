"""What a training device does with a batch: it fetches clips from frames that it holds, and augments them."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.batch import Batch
from kdvideo.data.cache.frames import map_frames_anew
from kdvideo.data.cache.resident import ResidentFrames
from kdvideo.data.labelled import TrainClips
from kdvideo.data.mixup import mix_batch
from kdvideo.data.samples import TrainTuples, augment_batch
from kdvideo.engine.guards import out_of_memory_means
from kdvideo.engine.trainer import BatchTransform

__all__ = ["build_batch_transform", "keep_on_device"]

logger = logging.getLogger("kdvideo")
_SHARE = 0.3  # of a GPU's free memory; the network's activations need the rest


def build_batch_transform(
    cfg: CfgNode, dataset: TrainTuples | TrainClips, resident: ResidentFrames | None
) -> BatchTransform | None:
    """Returns what is left to do on the device: to augment, if the workers do not, and to mix. It may be None."""
    if cfg.DATA.AUGMENT_ON == "worker":
        return mix_batch if dataset.mixup else None
    augment = partial(augment_batch, pretext=dataset.config.pretext if isinstance(dataset, TrainTuples) else None)
    if resident is None and not dataset.mixup:
        return augment

    def fetch_augment_and_mix(batch: Batch) -> Batch:
        augmented = augment(batch if resident is None else resident.add_clips(batch))
        return mix_batch(augmented) if dataset.mixup else augmented

    return fetch_augment_and_mix


def keep_on_device(cfg: CfgNode, dataset: TrainTuples | TrainClips, *, device: torch.device) -> ResidentFrames | None:
    """Copies the training videos' cached frames to the device as DATA.CACHE_ON says, so that no worker reads pixels.

    From then on, the dataset's samples only say where their clips lie.

    Returns:
        The frames; None if samples bring their clips along.

    Raises:
        ValueError: DATA.CACHE_ON is device, but not all frames are cached.
    """
    if cfg.DATA.CACHE_ON == "host" or cfg.DATA.AUGMENT_ON == "worker" or not cfg.DATA.CACHE:
        return None
    asked = cfg.DATA.CACHE_ON == "device"
    if not asked and device.type != "cuda":
        return None
    paths = [one.path for one in dataset.videos.cached if one]
    resident = None
    try:
        num_bytes = sum(path.stat().st_size for path in paths)
        reason = _obstacle(len(dataset), paths, num_bytes, room=None if asked else _room(device))
        if reason is None:
            with out_of_memory_means("set DATA.CACHE_ON to host"):
                videos = map(map_frames_anew, paths)  # one at a time: a process may have some 65,000 maps
                resident = ResidentFrames(videos, num_bytes=num_bytes, size=dataset.clip_size, device=device)
    except (OSError, ValueError) as error:
        reason = f"a file of them cannot be read ({error})"
    if resident is None:
        if asked:
            raise ValueError(f"DATA.CACHE_ON is device, but {reason}: set it to auto")
        logger.info("frame cache: frames stay in the host's memory: %s", reason)
        return None
    dataset.resident_shapes = resident.shapes
    logger.info(
        "frame cache: the %d training videos' %.1f MB of frames are on the %s", len(paths), num_bytes / 1e6, device
    )
    return resident


def _room(device: torch.device) -> float:
    """Returns how many bytes of a GPU the frames may take."""
    return _SHARE * torch.cuda.mem_get_info(device)[0]


def _obstacle(num_videos: int, paths: Sequence[Path], num_bytes: int, *, room: float | None) -> str | None:
    """Returns why the frames cannot all lie on the device, or None. Without a `room`, it is not asked for."""
    if len(paths) < num_videos:
        return f"{num_videos - len(paths)} of {num_videos} training videos are not cached, as the log says"
    if room is not None and num_bytes > room:
        return f"they take {num_bytes / 1e9:.1f} GB, {_SHARE:g} of the GPU's free memory is {room / 1e9:.1f} GB"
    return None
