"""The store of a teacher's answers to its views of a dataset's videos."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.config.key import Role
from kdvideo.data.videos import VideoList
from kdvideo.data.views import VIEWS_VERSION
from kdvideo.engine.replay import (
    describe_libraries,
    describe_packages,
    describe_videos,
    read_settings,
    used_kernels,
)
from kdvideo.models.spec import Model, backbone_of
from kdvideo.needs import needs_of
from kdvideo.paths import kdvideo_home
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.views import view_shapes
from kdvideo.zoo.sources import Weights

__all__ = ["open_views", "views_key"]


def open_views(
    cfg: CfgNode,
    listed: VideoList,
    *,
    teacher: Model,
    weights: Weights,
    device: torch.device,
    used: VideoList | None = None,
) -> ReplayStore:
    """Opens the store of a teacher's answers to TEACHER.VIEWS views of each video in KDVIDEO_HOME/replay.

    All runs with the same teacher and training list share a store, also those that use a part of the list only.

    Args:
        cfg: a valid config.
        listed: the whole training list.
        teacher: the teacher's network, in the precision in which it computes.
        weights: where it comes from.
        device: the device on which it computes.
        used: the videos of the run, to which `index` of its batches refers. Defaults to all listed ones.

    Raises:
        ValueError: the task does not support views, no video has so many, or the store cannot be written.
    """
    if not needs_of(cfg.TASK.NAME).replay:
        raise ValueError(
            f"TEACHER.VIEWS is {cfg.TEACHER.VIEWS}, but TASK.NAME {cfg.TASK.NAME} does not know it: set it to 0"
        )
    if (longest := max(listed.num_frames)) < cfg.TEACHER.VIEWS:
        raise ValueError(
            f"TEACHER.VIEWS is {cfg.TEACHER.VIEWS}, but the longest of {len(listed)} videos has {longest} frames, "
            f"around each of which at most one view lies: lower it, e.g. to {min(6, longest)}"
        )
    return ReplayStore(
        kdvideo_home() / "replay",
        views_key(cfg, listed, teacher=teacher, weights=weights, device=device),
        shapes=view_shapes(teacher, cfg.TEACHER.LOSSES, classes=needs_of(cfg.TASK.NAME).classes),
        num_epochs=cfg.TEACHER.VIEWS,
        num_videos=len(listed),
        by="view",
        places=None if used is None else _places(listed, used),
    )


def views_key(
    cfg: CfgNode, listed: VideoList, *, teacher: Model, weights: Weights, device: torch.device
) -> dict[str, Any]:
    """Returns everything that an answer to a view depends on: neither student, nor seed, pretext or augmentation."""
    backbone = backbone_of(teacher)
    return {
        "teacher": {
            "sha256": weights.answers_sha256,
            "pinned": weights.pinned,
            "network": hashlib.sha256(repr(backbone).encode()).hexdigest(),
            "clip": backbone.clip_spec.to_dict(),
            "device": device.type,
            "amp": read_settings(cfg, Role.ANSWER)["amp"],
            **used_kernels(cfg, device),
        },
        "views": {"version": VIEWS_VERSION, "count": cfg.TEACHER.VIEWS},
        "videos": describe_videos(listed, asked_by="TEACHER.VIEWS"),
        "packages": {**describe_packages(), **describe_libraries(backbone)},
    }


def _places(listed: VideoList, used: VideoList) -> Sequence[int]:
    numbers = {record.name: number for number, record in enumerate(listed.records)}
    return [numbers[record.name] for record in used.records]
