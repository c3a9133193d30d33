"""Chooses the replay store of a run by everything that a teacher's answers depend on."""

import hashlib
import inspect
import json
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

from kdvideo.config.key import Role
from kdvideo.config.keys import keys_with_role
from kdvideo.data.plan import PLAN_VERSION
from kdvideo.data.videos import VideoList
from kdvideo.device import describe_gpu
from kdvideo.models.spec import Model, backbone_of
from kdvideo.needs import needs_of
from kdvideo.paths import kdvideo_home
from kdvideo.registry import PRETEXTS
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.teacher import teacher_output_shapes

__all__ = [
    "describe_libraries",
    "describe_packages",
    "describe_videos",
    "open_replay",
    "read_settings",
    "replay_key",
    "used_kernels",
]

_NESTED = ("CLIP", "PRETEXT", "AUGMENT")  # sections that are part of a store's key as a whole
_PACKAGES = ("torch", "torchvision", "av", "torchcodec")  # packages that decode, resize and compute


def open_replay(
    cfg: CfgNode, videos: VideoList, *, teacher: Model, teacher_sha256: str, device: torch.device
) -> ReplayStore:
    """Opens the store of a teacher's answers to a run's samples in KDVIDEO_HOME/replay.

    Runs with the same teacher and the same samples share a store.

    Args:
        cfg: a valid config.
        videos: the training videos.
        teacher: the teacher's network.
        teacher_sha256: hash of its weights and of all else that decides its answers, `Weights.answers_sha256`.
        device: the device on which it computes.

    Raises:
        ValueError: the task does not support replay, or the store cannot be written.
    """
    if not needs_of(cfg.TASK.NAME).replay:
        raise ValueError(f"TEACHER.REPLAY is on, but TASK.NAME {cfg.TASK.NAME} does not know it: set it to off")
    return ReplayStore(
        kdvideo_home() / "replay",
        replay_key(cfg, videos, teacher=teacher, teacher_sha256=teacher_sha256, device=device),
        shapes=teacher_output_shapes(teacher, cfg.TEACHER.LOSSES, tuple_len=cfg.PRETEXT.TUPLE_LEN),
        num_epochs=cfg.SOLVER.EPOCHS,
        num_videos=len(videos),
    )


def replay_key(
    cfg: CfgNode, videos: VideoList, *, teacher: Model, teacher_sha256: str, device: torch.device
) -> dict[str, Any]:
    """Returns everything that a teacher's answer to the sample (epoch, index) depends on.

    The student, its batch size, the losses and the number of epochs are not part of it.
    """
    backbone = backbone_of(teacher)
    libraries = describe_libraries(backbone)
    libraries.pop("pytorchvideo", None)  # kdvideo's own networks have blocks of it, and former keys lack it
    pooled = getattr(backbone, "pooling", "mean")  # over time, of image networks; the mean is not written
    plan = {"version": PLAN_VERSION, **read_settings(cfg, Role.SAMPLE)}
    if not cfg.AUGMENT.MIXUP:
        del plan["augment"]["MIXUP"]  # former keys lack it
    plan["pretext"]["source"] = _hash_text(inspect.getsource(PRETEXTS.get(cfg.PRETEXT.NAME)))
    return {
        "teacher": {
            "sha256": teacher_sha256,
            "device": device.type,
            **read_settings(cfg, Role.ANSWER),
            **used_kernels(cfg, device),
            **({} if pooled == "mean" else {"pooling": pooled}),
        },
        "videos": describe_videos(videos, asked_by="TEACHER.REPLAY"),
        "plan": plan,
        "packages": {**describe_packages(), **libraries},
    }


def describe_packages() -> dict[str, str]:
    """Returns the versions of the packages that decode, resize and compute."""
    return {name: metadata.version(name) for name in _PACKAGES if util.find_spec(name)}


def describe_libraries(backbone: nn.Module) -> dict[str, str]:
    """Returns the versions of the packages whose modules a network is made of, besides torch and kdvideo."""
    names = {type(module).__module__.partition(".")[0] for module in backbone.modules()} - {"torch", "kdvideo"}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the user's own file
            continue
    return found


def describe_videos(videos: VideoList, *, asked_by: str) -> dict[str, Any]:
    """Returns how many videos there are, and a hash of all that decides which frames they give.

    Args:
        videos: the videos.
        asked_by: the config key that wants a store, for errors.

    Raises:
        ValueError: a video cannot be looked at.
    """
    return {"number": len(videos), "sha256": _hash_videos(videos, asked_by)}


def used_kernels(cfg: CfgNode, device: torch.device) -> dict[str, Any]:
    """Returns what decides which kernels of a GPU compute an answer, and so its last bits. Empty for a CPU."""
    if device.type != "cuda":
        return {}
    gpu = describe_gpu(device)
    return {"gpu": gpu["name"], "cudnn": gpu["cudnn"], "deterministic": cfg.SOLVER.DETERMINISTIC}


def read_settings(cfg: CfgNode, role: Role) -> dict[str, Any]:
    """Returns the values of all keys with a role, as a store's key writes them."""
    settings: dict[str, Any] = {}
    for name in keys_with_role(role):
        section, _, leaf = name.rpartition(".")
        value = cfg[section][leaf] if section else cfg[leaf]
        if section in _NESTED:
            settings.setdefault(section.lower(), {})[leaf] = value
        else:
            settings[leaf.lower()] = value
    return settings


def _hash_videos(videos: VideoList, asked_by: str) -> str:
    # The size distinguishes a proxy from its source, and two files of the same name. A revision is added only for files
    # that are now read in another way than before, so all other stores stay valid.
    readers = videos.readers or ["pyav"] * len(videos)
    revisions = videos.revisions or [0] * len(videos)
    described = [
        (record.name, _size(record.path, asked_by), num_frames, reader, *([revision] if revision else ()))
        for record, num_frames, reader, revision in zip(
            videos.records, videos.num_frames, readers, revisions, strict=True
        )
    ]
    return _hash_text(json.dumps(described))


def _size(path: Path, asked_by: str) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ValueError(f"{asked_by}: {path} cannot be looked at: {error.strerror}") from None


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
