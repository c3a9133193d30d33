"""Checks whether the values of a config can work together, before anything is loaded."""

from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.config.defaults import get_defaults
from kdvideo.config.keys import KEYS
from kdvideo.config.naming import naming_keys
from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.distributed import world_size
from kdvideo.needs import needs_of
from kdvideo.registry import LOSSES, PRETEXTS

__all__ = ["require_videos", "validate_config", "validate_values"]


def validate_config(cfg: CfgNode, *, num_ranks: int | None = None, has_gpu: bool | None = None) -> None:
    """Checks every value on its own, then those that depend on each other.

    Args:
        cfg: a loaded config.
        num_ranks: the number of processes of the run. Defaults to those of this one.
        has_gpu: whether the run has a GPU. Defaults to whether this machine has one.

    Raises:
        ValueError: names the key, its value and what is allowed.
    """
    validate_values(cfg)
    _validate_together(cfg)
    _validate_machine(
        cfg,
        num_ranks=world_size() if num_ranks is None else num_ranks,
        has_gpu=torch.cuda.is_available() if has_gpu is None else has_gpu,
    )


def validate_values(cfg: CfgNode) -> None:
    """Checks every value on its own.

    Raises:
        ValueError: names the key, its value and what is allowed.
    """
    _check_limits(cfg)
    _validate_contrast(cfg)
    for number, one in enumerate(teacher_configs(cfg) or [cfg], start=1):
        with naming_teacher(cfg, number):
            _check_limits(one, section="TEACHER.")
            _validate_losses(one)


def require_videos(cfg: CfgNode) -> None:
    """Raises ValueError if DATA.ROOT is not set."""
    if not cfg.DATA.ROOT:
        raise ValueError("DATA.ROOT is not set: give the folder of the videos, e.g. DATA.ROOT /data/UCF-101")


def _check_limits(cfg: CfgNode, *, section: str = "") -> None:
    for name, key in KEYS.items():
        if name.startswith(section):
            value = _value(cfg, name)
            for limit in key.limits:
                limit.check(name, value)


def _validate_contrast(cfg: CfgNode) -> None:
    distillation = _distillation_losses()
    contrastive = [name for name in LOSSES.names() if name not in distillation]
    if cfg.CONTRAST.NAME not in contrastive:
        raise ValueError(
            f"CONTRAST.NAME is {cfg.CONTRAST.NAME!r}; it must be a contrastive loss: {', '.join(contrastive)}"
        )


def _validate_losses(cfg: CfgNode) -> None:
    distillation, names = _distillation_losses(), cfg.TEACHER.LOSSES
    if not names or not set(names) <= set(distillation) or len(set(names)) < len(names):
        raise ValueError(
            f"TEACHER.LOSSES is {names!r}; it must be a list of distillation losses, each once: "
            f"{', '.join(distillation)}"
        )


def _validate_together(cfg: CfgNode) -> None:
    if cfg.DATA.SHORT_SIDE < cfg.CLIP.SIZE:
        raise ValueError(f"DATA.SHORT_SIDE is {cfg.DATA.SHORT_SIDE}; it must be at least CLIP.SIZE, {cfg.CLIP.SIZE}")
    if cfg.DATA.CACHE_ON == "device" and not (cfg.DATA.CACHE and cfg.DATA.AUGMENT_ON == "device"):
        raise ValueError(
            "DATA.CACHE_ON is device, which needs DATA.CACHE, the frames' folder, and DATA.AUGMENT_ON device: set "
            "them, or leave it at auto"
        )
    if not needs_of(cfg.TASK.NAME).classes:  # what learns classes has no pretext
        _validate_pretext(cfg)
    _validate_mixup(cfg)
    if cfg.SOLVER.SCHEDULE == "plateau" and not cfg.DATA.VALIDATION_SHARE:
        raise ValueError(
            "SOLVER.SCHEDULE plateau looks at held-out videos, but DATA.VALIDATION_SHARE is 0: set it, e.g. to 0.1"
        )
    require_videos(cfg)
    if cfg.MODEL.CLIP_SPEC and not cfg.MODEL.WEIGHTS:
        raise ValueError(
            f"MODEL.CLIP_SPEC is {cfg.MODEL.CLIP_SPEC!r}, but MODEL.WEIGHTS is not set, whose input it describes: "
            "leave it out; the input of a model without them is CLIP"
        )
    _validate_teachers(cfg)


def _validate_machine(cfg: CfgNode, *, num_ranks: int, has_gpu: bool) -> None:
    if cfg.SOLVER.AMP in ("fp16", "tf32") and not has_gpu:
        raise ValueError(
            f"SOLVER.AMP is {cfg.SOLVER.AMP!r}, which needs a CUDA device, and there is none: use bf16 or fp32"
        )
    if cfg.SOLVER.SYNC_BN and not has_gpu:
        raise ValueError(
            "SOLVER.SYNC_BN is True, but there is no GPU, and SyncBatchNorm refuses CPU tensors: leave it False"
        )
    share, parts = cfg.SOLVER.BATCH_SIZE // num_ranks, cfg.SOLVER.ACCUMULATE
    if share % parts or share < 2 * parts > 2:
        raise ValueError(
            f"SOLVER.ACCUMULATE is {parts}; it must part a process' share of SOLVER.BATCH_SIZE, {share}, into equal "
            "parts of at least 2"
        )


def _validate_teachers(cfg: CfgNode) -> None:
    if cfg.TEACHERS:
        _validate_list(cfg)
    for number, one in enumerate(teacher_configs(cfg) or [cfg], start=1):
        with naming_teacher(cfg, number):
            _validate_teacher(one)


def _validate_list(cfg: CfgNode) -> None:
    defaults = get_defaults().TEACHER
    changed = [key for key, value in cfg.TEACHER.items() if value != defaults[key]]
    if changed := [key for key in changed if (key, cfg.TEACHER[key]) != ("SAMPLING", "shared")]:  # as runs store it
        raise ValueError(
            f"TEACHER.{changed[0]} is {cfg.TEACHER[changed[0]]!r}, but there are TEACHERS: set it in their blocks, as "
            f"TEACHERS.1.{changed[0]}"
        )
    needs = needs_of(cfg.TASK.NAME)
    if len(cfg.TEACHERS) > 1 and needs.teacher != "no" and not needs.several:
        raise ValueError(f"TEACHERS are {len(cfg.TEACHERS)}, but TASK.NAME {cfg.TASK.NAME} takes one: set TEACHER")
    for number, block in enumerate(cfg.TEACHERS, start=1):
        if not block.get("WEIGHTS"):
            raise ValueError(f"TEACHERS.{number}.WEIGHTS is not set: give a zoo name, a path or a URL")
    if len(counts := sorted({block["VIEWS"] for block in cfg.TEACHERS if block.get("VIEWS")})) > 1:
        raise ValueError(
            f"VIEWS of TEACHERS are {counts}: all that have views must have as many, because a sample lies around one"
        )
    for number, block in enumerate(cfg.TEACHERS, start=1):
        if counts and block.get("REPLAY") and not block.get("VIEWS"):
            raise ValueError(
                f"TEACHERS.{number}.REPLAY is on, but samples lie around another teacher's VIEWS {counts[0]}, so they "
                f"are others than its store has: set it to off, or TEACHERS.{number}.VIEWS to {counts[0]}"
            )


def _validate_teacher(cfg: CfgNode) -> None:
    if cfg.AUGMENT.MIXUP and cfg.TEACHER.VIEWS:
        raise ValueError(
            f"TEACHER.VIEWS is {cfg.TEACHER.VIEWS}, whose answers are to clips that are not mixed, but AUGMENT.MIXUP "
            f"is {cfg.AUGMENT.MIXUP:g}: set one of them to 0"
        )
    if len(cfg.TEACHER.LOSSES) != len(cfg.TEACHER.LOSS_WEIGHTS) or min(cfg.TEACHER.LOSS_WEIGHTS) < 0:
        raise ValueError(
            f"TEACHER.LOSS_WEIGHTS is {cfg.TEACHER.LOSS_WEIGHTS}; it must be a list of one number, at least 0, for "
            f"each of TEACHER.LOSSES {cfg.TEACHER.LOSSES}"
        )
    needs, name = needs_of(cfg.TASK.NAME), cfg.TASK.NAME
    if needs.teacher == "must" and not cfg.TEACHER.WEIGHTS:
        raise ValueError(f"TASK.NAME {name} needs TEACHER.WEIGHTS: a zoo name, a path or a URL")
    has_teacher = needs.has_teacher(named=bool(cfg.TEACHER.WEIGHTS))
    remedy = "set TEACHER.WEIGHTS, or set it" if needs.teacher == "may" else "set it"
    if cfg.TEACHER.REPLAY and not has_teacher:
        raise ValueError(f"TEACHER.REPLAY is on, but TASK.NAME {name} has no teacher: {remedy} to off")
    if cfg.TEACHER.VIEWS and not has_teacher:
        raise ValueError(f"TEACHER.VIEWS is {cfg.TEACHER.VIEWS}, but TASK.NAME {name} has no teacher: {remedy} to 0")
    if cfg.TEACHER.WEIGHTS and not has_teacher:
        raise ValueError(f"TEACHER.WEIGHTS is set, but TASK.NAME {name} has no teacher: use TASK.NAME distill")
    if cfg.DATA.UNLABELLED_ROOT and not (needs.classes and has_teacher):
        raise ValueError(
            f"DATA.UNLABELLED_ROOT is set, but TASK.NAME {name} learns no classes from a teacher: set TEACHER.WEIGHTS "
            "and TASK.NAME supervised, or leave it out"
        )


def _validate_mixup(cfg: CfgNode) -> None:
    if not cfg.AUGMENT.MIXUP:
        return
    if cfg.AUGMENT.MIXUP < 0.01:  # nearly all shares would be 0 or 1, and drawing them takes ever longer
        raise ValueError(f"AUGMENT.MIXUP is {cfg.AUGMENT.MIXUP:g}; it must be 0, or from 0.01 to 1")
    if not needs_of(cfg.TASK.NAME).classes and PRETEXTS.get(cfg.PRETEXT.NAME).num_classes:
        raise ValueError(
            f"AUGMENT.MIXUP is {cfg.AUGMENT.MIXUP:g}, but PRETEXT.NAME is {cfg.PRETEXT.NAME}: a mixture of two tuples "
            "has no pretext label, and is no view of either video to contrast: set it to 0, or PRETEXT.NAME to none"
        )


def _validate_pretext(cfg: CfgNode) -> None:
    pretext, name, num_clips = PRETEXTS.get(cfg.PRETEXT.NAME), cfg.PRETEXT.NAME, cfg.PRETEXT.TUPLE_LEN
    with naming_keys():
        pretext.check(clip_len=cfg.CLIP.LENGTH, size=cfg.CLIP.SIZE, tuple_len=num_clips)
    if pretext.num_classes and num_clips < 2:
        raise ValueError(f"PRETEXT.TUPLE_LEN is {num_clips}; it must be at least 2 with PRETEXT.NAME {name}")
    if (cfg.CONTRAST.NAME == "none") != (not pretext.num_classes):
        raise ValueError(
            f"PRETEXT.NAME is {name} and CONTRAST.NAME is {cfg.CONTRAST.NAME}: both or neither must be none, because "
            "without a pretext a sample has no second clip to contrast with"
        )
    if pretext.num_classes:
        return
    if needs_of(cfg.TASK.NAME).teacher != "must":
        raise ValueError(
            f"PRETEXT.NAME is {name}, but TASK.NAME {cfg.TASK.NAME} has no teacher to learn from: use TASK.NAME distill"
        )
    for number, one in enumerate(teacher_configs(cfg), start=1):
        with naming_teacher(cfg, number):
            _refuse_answers(one, pretext=name)


def _refuse_answers(cfg: CfgNode, *, pretext: str) -> None:
    if answers := [loss for loss in cfg.TEACHER.LOSSES if LOSSES.get(loss).output == "pretext_logits"]:
        allowed = [loss for loss in _distillation_losses() if LOSSES.get(loss).output != "pretext_logits"]
        raise ValueError(
            f"TEACHER.LOSSES has {', '.join(answers)}, which compares answers to a pretext, but PRETEXT.NAME is "
            f"{pretext}: choose of {', '.join(allowed)}"
        )


def _distillation_losses() -> list[str]:
    return [name for name in LOSSES.names() if hasattr(LOSSES.get(name), "output")]


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node
