"""From a config to the parts of a run."""

import os
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch.utils.data import DataLoader

from kdvideo.config.defaults import get_defaults
from kdvideo.data.augment import AugmentConfig
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.data.counting import count_all_frames
from kdvideo.data.datasets import Subset
from kdvideo.data.plan import TupleLayout
from kdvideo.data.samples import EpochSampler, TrainTuples, TupleConfig, VideoList, create_loader
from kdvideo.evaluation.protocols import EvalConfig
from kdvideo.models.pcl import PCLModel, takes_option
from kdvideo.models.spec import ModelSpec
from kdvideo.paths import user_zoo
from kdvideo.registry import DATASETS, PRETEXTS

__all__ = [
    "build_eval_config",
    "build_model",
    "build_model_spec",
    "build_train_loader",
    "build_tuple_config",
    "follow_model",
    "load_videos",
    "zoo_dir_of",
]


def build_clip_spec(cfg: CfgNode) -> ClipSpec:
    """Reads CLIP."""
    clip = cfg.CLIP
    return ClipSpec(
        clip_len=clip.LENGTH,
        frame_stride=clip.FRAME_STRIDE,
        size=clip.SIZE,
        mean=tuple(clip.MEAN),
        std=tuple(clip.STD),
        modality=clip.MODALITY,
    )


def build_model_spec(cfg: CfgNode) -> ModelSpec:
    """Reads MODEL, CLIP and PRETEXT.

    Raises:
        ValueError: MODEL.WIDTH is set for a backbone whose width is fixed.
    """
    pretext = PRETEXTS.get(cfg.PRETEXT.NAME)
    return ModelSpec(
        backbone=cfg.MODEL.BACKBONE,
        backbone_kwargs=_backbone_kwargs(cfg),
        clip_spec=build_clip_spec(cfg),
        head="pcl_head",
        head_kwargs={
            "num_pretext_classes": pretext.num_classes,
            "tuple_len": cfg.PRETEXT.TUPLE_LEN,
            "projection_dim": cfg.MODEL.PROJECTION_DIM,
            "pretext_head": pretext.head,
        },
    )


def _backbone_kwargs(cfg: CfgNode) -> dict[str, Any]:
    if takes_option(cfg.MODEL.BACKBONE, "width"):
        return {"width": cfg.MODEL.WIDTH}
    default = get_defaults().MODEL.WIDTH
    if default != cfg.MODEL.WIDTH:
        raise ValueError(
            f"MODEL.WIDTH is {cfg.MODEL.WIDTH}, but the width of MODEL.BACKBONE {cfg.MODEL.BACKBONE} is fixed: "
            f"leave MODEL.WIDTH at {default}"
        )
    return {}


def build_model(cfg: CfgNode, device: torch.device) -> PCLModel:
    """The network that `build_model_spec` describes, after one clip has gone through it.

    Raises:
        ValueError: the clips are too short or too small for the backbone.
    """
    model = build_model_spec(cfg).build()
    assert isinstance(model, PCLModel)
    model.to(device)
    clip = cfg.CLIP
    one_clip = torch.zeros(1, 3, clip.LENGTH, clip.SIZE, clip.SIZE, device=device)
    try:
        with torch.no_grad():
            model.backbone.eval()(one_clip)
    except RuntimeError as error:
        raise ValueError(
            f"MODEL.BACKBONE {cfg.MODEL.BACKBONE} cannot take clips of {clip.LENGTH} frames of {clip.SIZE} x "
            f"{clip.SIZE} ({str(error).splitlines()[0]}): raise CLIP.LENGTH or CLIP.SIZE"
        ) from None
    return model.train()


def follow_model(cfg: CfgNode, model: PCLModel) -> None:
    """Sets CLIP, PRETEXT.TUPLE_LEN and MODEL.PROJECTION_DIM to those of a loaded model."""
    spec = model.backbone.clip_spec
    cfg.MODEL.PROJECTION_DIM = model.projection_head.out_features
    cfg.CLIP.LENGTH, cfg.CLIP.FRAME_STRIDE, cfg.CLIP.SIZE = spec.clip_len, spec.frame_stride, spec.size
    cfg.CLIP.MEAN, cfg.CLIP.STD, cfg.CLIP.MODALITY = list(spec.mean), list(spec.std), spec.modality
    cfg.PRETEXT.TUPLE_LEN = model.pretext_head.tuple_len


def build_tuple_config(cfg: CfgNode) -> TupleConfig:
    """Reads CLIP, PRETEXT, AUGMENT and DATA.SHORT_SIDE."""
    augment = cfg.AUGMENT
    return TupleConfig(
        layout=TupleLayout(build_clip_spec(cfg), tuple_len=cfg.PRETEXT.TUPLE_LEN, interval=cfg.PRETEXT.INTERVAL),
        pretext=PRETEXTS.get(cfg.PRETEXT.NAME)(),
        augment=AugmentConfig(
            flip_prob=augment.FLIP_PROB,
            color_prob=augment.COLOR_PROB,
            color_strength=augment.COLOR_STRENGTH,
            grayscale_prob=augment.GRAYSCALE_PROB,
            blur_prob=augment.BLUR_PROB,
        ),
        short_side=cfg.DATA.SHORT_SIDE,
    )


def build_eval_config(cfg: CfgNode) -> EvalConfig:
    """Reads EVAL."""
    return EvalConfig(
        tuples_per_video=cfg.EVAL.TUPLES_PER_VIDEO,
        clips_per_video=cfg.EVAL.CLIPS_PER_VIDEO,
        final_clips_per_video=cfg.EVAL.FINAL_CLIPS_PER_VIDEO,
        batch_size=cfg.EVAL.BATCH_SIZE,
        num_workers=cfg.DATA.NUM_WORKERS,
    )


def load_videos(cfg: CfgNode, subset: Subset) -> VideoList:
    """The videos of DATA's training or test list, each decoded once to count its frames."""
    root = Path(cfg.DATA.ROOT).expanduser()
    list_dir = Path(cfg.DATA.LIST_DIR).expanduser() if cfg.DATA.LIST_DIR else None
    records = DATASETS.get(cfg.DATA.NAME)(root, list_dir, split=cfg.DATA.SPLIT, subset=subset)
    return VideoList(records, count_all_frames(records, num_threads=os.cpu_count() or 1))


def build_train_loader(cfg: CfgNode, videos: VideoList, *, tuples: TupleConfig, num_negatives: int) -> DataLoader:
    """The loader of training batches.

    Raises:
        ValueError: fewer videos than one batch.
    """
    if len(videos) < cfg.SOLVER.BATCH_SIZE:
        raise ValueError(
            f"SOLVER.BATCH_SIZE is {cfg.SOLVER.BATCH_SIZE}, but {len(videos)} training videos can be used: lower it"
        )
    return create_loader(
        TrainTuples(videos, tuples, seed=cfg.SEED, num_negatives=num_negatives),
        batch_size=cfg.SOLVER.BATCH_SIZE,
        num_workers=cfg.DATA.NUM_WORKERS,
        sampler=EpochSampler(len(videos), seed=cfg.SEED),
    )


def zoo_dir_of(cfg: CfgNode) -> Path:
    """ZOO.DIR, or the user's zoo."""
    return Path(cfg.ZOO.DIR).expanduser() if cfg.ZOO.DIR else user_zoo()
