"""What a training device does with a batch: it fetches clips from frames that it holds, and augments them."""

import logging
from functools import partial

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.batch import Batch
from kdvideo.data.cache.frames import map_frames
from kdvideo.data.cache.resident import ResidentFrames
from kdvideo.data.labelled import TrainClips
from kdvideo.data.samples import TrainTuples, augment_batch
from kdvideo.engine.guards import out_of_memory_means
from kdvideo.engine.trainer import BatchTransform

__all__ = ["build_batch_transform", "keep_on_device"]

logger = logging.getLogger("kdvideo")
_SHARE = 0.3  # of a GPU's free memory; the network's activations need the rest


def build_batch_transform(
    cfg: CfgNode, dataset: TrainTuples | TrainClips, resident: ResidentFrames | None
) -> BatchTransform | None:
    """Returns what is left to do on the device. It is None if the workers augment."""
    if cfg.DATA.AUGMENT_ON == "worker":
        return None
    augment = partial(augment_batch, pretext=dataset.config.pretext if isinstance(dataset, TrainTuples) else None)
    if resident is None:
        return augment

    def fetch_and_augment(batch: Batch) -> Batch:
        return augment(resident.add_clips(batch))

    return fetch_and_augment


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
    mapped = [map_frames(one.path) if one else None for one in dataset.videos.cached]
    videos = [frames for frames in mapped if frames is not None]
    if len(videos) < len(dataset):
        if asked:
            raise ValueError(
                f"DATA.CACHE_ON is device, but {len(dataset) - len(videos)} of {len(dataset)} training videos are not "
                "cached, as the log says: set it to auto"
            )
        return None
    size = sum(frames.numel() for frames in videos)
    if not asked and size > (room := _SHARE * torch.cuda.mem_get_info(device)[0]):
        logger.info(
            "frame cache: frames stay in the host's memory: they take %.1f GB, %g of the GPU's free memory is %.1f GB",
            size / 1e9,
            _SHARE,
            room / 1e9,
        )
        return None
    with out_of_memory_means("set DATA.CACHE_ON to host"):
        resident = ResidentFrames(videos, size=dataset.clip_size, device=device)
    dataset.resident_shapes = resident.shapes
    logger.info("frame cache: the %d training videos' %.1f MB of frames are on the %s", len(videos), size / 1e6, device)
    return resident
