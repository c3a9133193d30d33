"""Builds the parts of a run from a config."""

import logging
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch.utils.data import DataLoader

from kdvideo.config.defaults import get_defaults
from kdvideo.config.naming import naming_keys
from kdvideo.data.augment.plan import AugmentConfig
from kdvideo.data.cache.fill import cache_frames
from kdvideo.data.checking.check import usable_videos
from kdvideo.data.checking.isolation import available_cores
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.datasets import Subset, VideoRecord
from kdvideo.data.datasets.records import check_records
from kdvideo.data.datasets.repeats import find_repeats
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import EpochSampler, create_loader
from kdvideo.data.plan import TupleLayout
from kdvideo.data.samples import TrainTuples, TupleConfig
from kdvideo.data.subsets import hold_out, take_fraction
from kdvideo.data.videos import VideoList
from kdvideo.distributed import main_first, rank, world_size
from kdvideo.engine.guards import full_memory, out_of_memory_means
from kdvideo.evaluation.clip_outputs import Views
from kdvideo.evaluation.pretext import EvalConfig
from kdvideo.evaluation.protocol import Lists
from kdvideo.models.pcl import takes_option
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.paths import expand_user, kdvideo_home
from kdvideo.registry import DATASETS, PRETEXTS
from kdvideo.zoo.folder import Zoo, as_zoo
from kdvideo.zoo.formats import parse_clip_spec

__all__ = [
    "build_augment_config",
    "build_clip_spec",
    "build_eval_config",
    "build_model",
    "build_model_spec",
    "build_train_loader",
    "build_tuple_config",
    "build_views",
    "configured_zoo",
    "dataset_name",
    "load_lists",
    "load_videos",
    "read_clip_spec",
    "read_records",
    "require_batch",
    "split_training_list",
    "warn_of_repeats",
]

logger = logging.getLogger("kdvideo")


def build_clip_spec(cfg: CfgNode) -> ClipSpec:
    """Reads the input convention from CLIP."""
    clip = cfg.CLIP
    return ClipSpec(
        clip_len=clip.LENGTH,
        frame_stride=clip.FRAME_STRIDE,
        size=clip.SIZE,
        mean=tuple(clip.MEAN),
        std=tuple(clip.STD),
        modality=clip.MODALITY,
    )


def read_clip_spec(cfg: CfgNode, section: str) -> ClipSpec | None:
    """Reads MODEL.CLIP_SPEC or TEACHER.CLIP_SPEC; None where it is not set.

    Raises:
        ValueError: the value is neither the name of an input convention nor a complete one.
    """
    text = cfg[section].CLIP_SPEC
    try:
        return parse_clip_spec(text) if text else None
    except ValueError as error:
        raise ValueError(f"{section}.CLIP_SPEC: {error}") from None


def build_model_spec(cfg: CfgNode, *, num_classes: int | None = None) -> ModelSpec:
    """Reads MODEL, CLIP and PRETEXT: a `PCLModel`, with `num_classes` a classifier, without a pretext a backbone.

    Raises:
        ValueError: MODEL.WIDTH is set for a backbone whose width is fixed.
    """
    pretext = PRETEXTS.get(cfg.PRETEXT.NAME)
    pcl_kwargs = {
        "num_pretext_classes": pretext.num_classes,
        "tuple_len": cfg.PRETEXT.TUPLE_LEN,
        "projection_dim": cfg.MODEL.PROJECTION_DIM,
        "pretext_head": pretext.head,
    }
    head, head_kwargs = "none", {}
    if num_classes is not None:
        head, head_kwargs = "classification_head", {"num_classes": num_classes}
    elif pretext.num_classes:
        head, head_kwargs = "pcl_head", pcl_kwargs
    return ModelSpec(
        backbone=cfg.MODEL.BACKBONE,
        backbone_kwargs=_backbone_kwargs(cfg),
        clip_spec=build_clip_spec(cfg),
        head=head,
        head_kwargs=head_kwargs,
    )


def _backbone_kwargs(cfg: CfgNode) -> dict[str, Any]:
    if takes_option(cfg.MODEL.BACKBONE, "width"):
        return {"width": cfg.MODEL.WIDTH}
    default = get_defaults().MODEL.WIDTH
    if default != cfg.MODEL.WIDTH:
        raise ValueError(
            f"MODEL.WIDTH is {cfg.MODEL.WIDTH}, but the width of MODEL.BACKBONE {cfg.MODEL.BACKBONE} is fixed: "
            f"set MODEL.WIDTH {default}, the default, or give its builder a keyword width"
        )
    return {}


def build_model(spec: ModelSpec, device: torch.device) -> Model:
    """Builds the network of a spec and tries it with one clip.

    The clip goes through it on the CPU, where nothing but the clip's shape can be wrong.

    Raises:
        ValueError: the clips are too short or too small for the backbone.
        MemoryError: the network does not fit on the device.
    """
    with out_of_memory_means("lower MODEL.WIDTH, or end what else uses it"):
        model = spec.build()
        _try_one_clip(model, spec)
        return model.to(device).train()


def _try_one_clip(model: Model, spec: ModelSpec) -> None:
    clip = spec.clip_spec
    try:
        with torch.no_grad():
            backbone_of(model).eval()(torch.zeros(1, 3, clip.clip_len, clip.size, clip.size))
    except RuntimeError as error:
        if full_memory(error):
            raise
        raise ValueError(
            f"MODEL.BACKBONE {spec.backbone} cannot take clips of {clip.clip_len} frames of {clip.size} x {clip.size} "
            f"({str(error).splitlines()[0]}): raise CLIP.LENGTH or CLIP.SIZE"
        ) from None


def build_tuple_config(cfg: CfgNode, *, clip: ClipSpec | None = None, tuple_len: int | None = None) -> TupleConfig:
    """Builds the sampling of clips from CLIP, PRETEXT, AUGMENT and DATA.SHORT_SIDE.

    Args:
        cfg: a config.
        clip: the clips of an existing model. They replace CLIP.
        tuple_len: the number of clips that this model takes. It replaces PRETEXT.TUPLE_LEN.
    """
    return TupleConfig(
        layout=TupleLayout(
            clip or build_clip_spec(cfg), tuple_len=tuple_len or cfg.PRETEXT.TUPLE_LEN, interval=cfg.PRETEXT.INTERVAL
        ),
        pretext=PRETEXTS.get(cfg.PRETEXT.NAME)(),
        augment=build_augment_config(cfg),
        short_side=cfg.DATA.SHORT_SIDE,
    )


def build_augment_config(cfg: CfgNode) -> AugmentConfig:
    """Reads the augmentation from AUGMENT."""
    augment = cfg.AUGMENT
    return AugmentConfig(
        flip_prob=augment.FLIP_PROB,
        color_prob=augment.COLOR_PROB,
        color_strength=augment.COLOR_STRENGTH,
        grayscale_prob=augment.GRAYSCALE_PROB,
        blur_prob=augment.BLUR_PROB,
    )


def build_eval_config(cfg: CfgNode) -> EvalConfig:
    """Reads the evaluation's settings from EVAL."""
    return EvalConfig(
        tuples_per_video=cfg.EVAL.TUPLES_PER_VIDEO,
        clips_per_video=cfg.EVAL.CLIPS_PER_VIDEO,
        final_clips_per_video=cfg.EVAL.FINAL_CLIPS_PER_VIDEO,
        batch_size=cfg.EVAL.BATCH_SIZE,
        num_workers=cfg.DATA.NUM_WORKERS,
    )


def build_views(cfg: CfgNode, *, num_crops: int = 1) -> Views:
    """Reads the views of a video from EVAL.FINAL_CLIPS_PER_VIDEO and DATA.SHORT_SIDE."""
    return Views(cfg.EVAL.FINAL_CLIPS_PER_VIDEO, cfg.DATA.SHORT_SIDE, num_crops)


def dataset_name(cfg: CfgNode) -> str:
    """Returns the name of DATA.ROOT's folder."""
    return Path(cfg.DATA.ROOT).name or Path(cfg.DATA.ROOT).resolve().name


@naming_keys()
def read_records(cfg: CfgNode, subset: Subset, *, split: int | None = None) -> list[VideoRecord]:
    """Reads the videos of DATA's training or test list. `split` replaces DATA.SPLIT."""
    root = expand_user(cfg.DATA.ROOT)
    list_dir = expand_user(cfg.DATA.LIST_DIR) if cfg.DATA.LIST_DIR else None
    records = DATASETS.get(cfg.DATA.NAME)(root, list_dir, split=split or cfg.DATA.SPLIT, subset=subset)
    return list(check_records(records, dataset=cfg.DATA.NAME, subset=subset))


def load_lists(cfg: CfgNode, *, split: int | None = None) -> Lists:
    """Loads the test and the training list, and splits the latter by DATA.FRACTION and DATA.VALIDATION_SHARE.

    Args:
        cfg: a config.
        split: split of the dataset. Defaults to DATA.SPLIT.
    """
    train, test = load_videos(cfg, "train", split=split), load_videos(cfg, "test", split=split)
    warn_of_repeats(train, test)
    chosen, held_out = split_training_list(cfg, train)
    return Lists(
        test=test,
        train=train,
        split=split or cfg.DATA.SPLIT,
        validation=Lists(test=held_out, train=chosen) if len(held_out) else None,
    )


@naming_keys()
def load_videos(cfg: CfgNode, subset: Subset, *, split: int | None = None) -> VideoList:
    """Finds the usable videos of a list of DATA. The manifest or a check of each video decides.

    With DATA.CACHE, those whose frames are not in the cache are decoded now.

    Args:
        cfg: a config.
        subset: the list.
        split: split of the dataset. Defaults to DATA.SPLIT.
    """
    data = cfg.DATA
    with main_first():  # the other ranks read the results that rank 0 stores
        videos = usable_videos(
            read_records(cfg, subset, split=split),
            expand_user(data.ROOT),
            manifest=expand_user(data.MANIFEST) if data.MANIFEST else None,
            max_bad_fraction=data.MAX_BAD_FRACTION,
            num_workers=available_cores(),
            label=f"{'training' if subset == 'train' else 'test'} videos",
            time_limit=data.TIME_LIMIT,
        )
        if not data.CACHE:
            return videos
        kept = kdvideo_home() / "frames" if data.CACHE == "auto" else expand_user(data.CACHE)
        folder = kept / f"{dataset_name(cfg)}-{data.SHORT_SIDE}"
        return cache_frames(videos, folder, short_side=data.SHORT_SIDE, num_workers=available_cores())


def warn_of_repeats(train: VideoList, test: VideoList) -> None:
    """Warns of videos that are in both lists, or twice in one list. Only rank 0 does so."""
    for line in find_repeats(train.records, test.records) if rank() == 0 else ():
        logger.warning("%s", line)


def split_training_list(cfg: CfgNode, videos: VideoList) -> tuple[VideoList, VideoList]:
    """Splits the training list. DATA.FRACTION sets the part to train on, DATA.VALIDATION_SHARE the held-out part."""
    kept, held = hold_out(videos.records, cfg.DATA.VALIDATION_SHARE)
    return videos.only(take_fraction(kept, cfg.DATA.FRACTION, seed=cfg.SEED)), videos.only(held)


@naming_keys()
def build_train_loader(cfg: CfgNode, dataset: TrainTuples | TrainClips) -> DataLoader:
    """Builds the loader of training batches.

    Raises:
        ValueError: there are fewer videos than one batch, or the processes cannot share a batch evenly.
    """
    require_batch(cfg, len(dataset))
    batch_size = cfg.SOLVER.BATCH_SIZE
    sampler = EpochSampler(len(dataset), seed=cfg.SEED, batch_size=batch_size, rank=rank(), world_size=world_size())
    return create_loader(
        dataset, batch_size=batch_size // world_size(), num_workers=cfg.DATA.NUM_WORKERS, sampler=sampler
    )


def require_batch(cfg: CfgNode, num_videos: int) -> None:
    """Raises ValueError if there are fewer videos than one batch."""
    if num_videos < cfg.SOLVER.BATCH_SIZE:
        raise ValueError(
            f"SOLVER.BATCH_SIZE is {cfg.SOLVER.BATCH_SIZE}, but {num_videos} training videos can be used: lower it"
        )


def configured_zoo(cfg: CfgNode) -> Zoo:
    """Returns the zoo in ZOO.DIR. Without ZOO.DIR, it is the user's zoo."""
    return as_zoo(cfg.ZOO.DIR or None) or Zoo.user()
