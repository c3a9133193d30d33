"""Whether the values of a config can work together, asked before anything is loaded."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.distributed import world_size
from kdvideo.registry import BACKBONES, DATASETS, LOSSES, PRETEXTS, TASKS, NamedRegistry

__all__ = ["describe_limits", "validate_config"]

_REGISTERED: dict[str, NamedRegistry] = {
    "TASK.NAME": TASKS,
    "MODEL.BACKBONE": BACKBONES,
    "PRETEXT.NAME": PRETEXTS,
    "CONTRAST.NAME": LOSSES,
    "DATA.NAME": DATASETS,
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "VERSION": (1,),
    "DATA.SPLIT": (1, 2, 3),
    "DATA.AUGMENT_ON": ("worker", "device"),
    "CLIP.MODALITY": ("rgb", "residual"),
    "TEACHER.SAMPLING": ("shared", "own"),
    "SOLVER.OPTIMIZER": ("sgd", "adamw"),
    "SOLVER.SCHEDULE": ("constant", "cosine", "one_cycle", "plateau"),
    "SOLVER.AMP": ("fp32", "bf16", "fp16"),
    "EVAL.AMP": ("fp32", "bf16"),
    "ZOO.DTYPE": ("float32", "float16"),
}
_AT_LEAST: dict[str, float] = {
    "SEED": 0,
    "MODEL.WIDTH": 1,
    "MODEL.PROJECTION_DIM": 1,
    "CLIP.LENGTH": 1,
    "CLIP.FRAME_STRIDE": 1,
    "CLIP.SIZE": 1,
    "PRETEXT.TUPLE_LEN": 2,
    "PRETEXT.INTERVAL": 0,
    "CONTRAST.WEIGHT": 0,
    "CONTRAST.NUM_NEGATIVES": 1,
    "TEACHER.NUM_ANCHORS": 0,
    "DATA.NUM_WORKERS": 0,
    "AUGMENT.COLOR_STRENGTH": 0,
    "SOLVER.EPOCHS": 1,
    "SOLVER.BATCH_SIZE": 2,
    "SOLVER.BACKBONE_LR_SCALE": 0,
    "SOLVER.MOMENTUM": 0,
    "SOLVER.PLATEAU_PATIENCE": 0,
    "SOLVER.WEIGHT_DECAY": 0,
    "SOLVER.CLIP_GRADIENTS": 0,
    "SOLVER.ACCUMULATE": 1,
    "SOLVER.CHECKPOINT_PERIOD": 0,
    "SOLVER.CHECKPOINT_MAX_TO_KEEP": 1,
    "EVAL.PERIOD": 1,
    "EVAL.TUPLES_PER_VIDEO": 1,
    "EVAL.CLIPS_PER_VIDEO": 1,
    "EVAL.FINAL_CLIPS_PER_VIDEO": 1,
    "EVAL.BATCH_SIZE": 1,
}
_BELOW: dict[str, float] = {"SEED": 2**31, "SOLVER.MOMENTUM": 1, "SOLVER.PLATEAU_FACTOR": 1, "DATA.VALIDATION_SHARE": 1}
_POSITIVE = (
    "CONTRAST.TEMPERATURE",
    "TEACHER.KD_TEMPERATURE",
    "TEACHER.SIMILARITY_TEMPERATURE",
    "SOLVER.BASE_LR",
    "SOLVER.PLATEAU_FACTOR",
    "DATA.FRACTION",
    "DATA.TIME_LIMIT",
)
_UNIT_INTERVAL = (
    "DATA.FRACTION",
    "DATA.VALIDATION_SHARE",
    "CONTRAST.BANK_MOMENTUM",
    "AUGMENT.FLIP_PROB",
    "AUGMENT.COLOR_PROB",
    "AUGMENT.GRAYSCALE_PROB",
    "AUGMENT.BLUR_PROB",
    "DATA.MAX_BAD_FRACTION",
)


def validate_config(cfg: CfgNode) -> None:
    """Checks every value on its own, then those that depend on each other.

    Raises:
        ValueError: names the key, its value and what is allowed.
    """
    for key, registry in _REGISTERED.items():
        try:
            registry.get(_value(cfg, key))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    distillation = [name for name in LOSSES.names() if hasattr(LOSSES.get(name), "output")]
    contrastive = [name for name in LOSSES.names() if name not in distillation]
    _require(cfg, "CONTRAST.NAME", contrastive.__contains__, f"a contrastive loss: {', '.join(contrastive)}")
    _require(
        cfg,
        "TEACHER.LOSSES",
        lambda names: names and set(names) <= set(distillation) and len(set(names)) == len(names),
        f"a list of distillation losses, each once: {', '.join(distillation)}",
    )
    for key, choices in _CHOICES.items():
        _require(cfg, key, choices.__contains__, f"one of {', '.join(map(str, choices))}")
    for key, least in _AT_LEAST.items():
        _require(cfg, key, partial(operator.le, least), f"at least {least:g}")
    for key, limit in _BELOW.items():
        _require(cfg, key, partial(operator.gt, limit), f"below {limit}")
    for key in _POSITIVE:
        _require(cfg, key, lambda value: value > 0, "above 0")
    for key in _UNIT_INTERVAL:
        _require(cfg, key, lambda value: 0 <= value <= 1, "between 0 and 1")
    for key in ("CLIP.MEAN", "CLIP.STD"):
        _require(cfg, key, lambda value: len(value) == 3, "a list of three numbers, one a channel")
    _require(cfg, "CLIP.STD", lambda value: min(value) > 0, "above 0 in every channel")
    _validate_together(cfg)


def describe_limits(key: str) -> str:
    """What is allowed for a key by itself, in words; "" where its type is all.

    Args:
        key: e.g. "SOLVER.EPOCHS".
    """
    if key in _REGISTERED:
        return f"the name of a registered {_REGISTERED[key]._name}"
    if key in _CHOICES:
        return ", ".join(f"`{choice}`" for choice in _CHOICES[key])
    limits = [f"at least {_AT_LEAST[key]:g}"] if key in _AT_LEAST else []
    limits += ["above 0"] if key in _POSITIVE else []
    limits += [f"below {_BELOW[key]}"] if key in _BELOW else []
    limits += ["between 0 and 1"] if key in _UNIT_INTERVAL else []
    return ", ".join(limits)


def _validate_together(cfg: CfgNode) -> None:
    if cfg.DATA.SHORT_SIDE < cfg.CLIP.SIZE:
        raise ValueError(f"DATA.SHORT_SIDE is {cfg.DATA.SHORT_SIDE}; it must be at least CLIP.SIZE, {cfg.CLIP.SIZE}")
    if not TASKS.get(cfg.TASK.NAME).needs_labels:  # what learns classes has no pretext
        pretext = PRETEXTS.get(cfg.PRETEXT.NAME)
        pretext.check(clip_len=cfg.CLIP.LENGTH, size=cfg.CLIP.SIZE, tuple_len=cfg.PRETEXT.TUPLE_LEN)
    if cfg.SOLVER.AMP == "fp16" and not torch.cuda.is_available():
        raise ValueError("SOLVER.AMP is 'fp16', which needs a CUDA device, and there is none: use bf16 or fp32")
    share, parts = cfg.SOLVER.BATCH_SIZE // world_size(), cfg.SOLVER.ACCUMULATE
    if share % parts or share < 2 * parts > 2:
        raise ValueError(
            f"SOLVER.ACCUMULATE is {parts}; it must part a process' share of SOLVER.BATCH_SIZE, {share}, into equal "
            "parts of at least 2"
        )
    if cfg.SOLVER.SCHEDULE == "plateau" and not cfg.DATA.VALIDATION_SHARE:
        raise ValueError(
            "SOLVER.SCHEDULE plateau looks at held-out videos, but DATA.VALIDATION_SHARE is 0: set it, e.g. to 0.1"
        )
    if not cfg.DATA.ROOT:
        raise ValueError("DATA.ROOT is not set: give the folder of the videos, e.g. DATA.ROOT /data/UCF-101")
    if len(cfg.TEACHER.LOSSES) != len(cfg.TEACHER.LOSS_WEIGHTS) or min(cfg.TEACHER.LOSS_WEIGHTS) < 0:
        raise ValueError(
            f"TEACHER.LOSS_WEIGHTS is {cfg.TEACHER.LOSS_WEIGHTS}; it must be a list of one number, at least 0, for "
            f"each of TEACHER.LOSSES {cfg.TEACHER.LOSSES}"
        )
    if cfg.MODEL.CLIP_SPEC and not cfg.MODEL.WEIGHTS:
        raise ValueError(
            f"MODEL.CLIP_SPEC is {cfg.MODEL.CLIP_SPEC!r}, but MODEL.WEIGHTS is not set, whose input it describes: "
            "leave it out; the input of a model without them is CLIP"
        )
    needs_teacher = TASKS.get(cfg.TASK.NAME).needs_teacher
    if needs_teacher and not cfg.TEACHER.WEIGHTS:
        raise ValueError(f"TASK.NAME {cfg.TASK.NAME} needs TEACHER.WEIGHTS: a zoo name, a path or a URL")
    if cfg.TEACHER.REPLAY and not needs_teacher:
        raise ValueError(f"TEACHER.REPLAY is on, but TASK.NAME {cfg.TASK.NAME} has no teacher: set it to off")
    if cfg.TEACHER.WEIGHTS and not needs_teacher:
        raise ValueError(f"TEACHER.WEIGHTS is set, but TASK.NAME {cfg.TASK.NAME} has no teacher: use TASK.NAME distill")


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node


def _require(cfg: CfgNode, key: str, holds: Callable[[Any], bool], allowed: str) -> None:
    value = _value(cfg, key)
    if not holds(value):
        raise ValueError(f"{key} is {value!r}; it must be {allowed}")
