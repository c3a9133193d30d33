"""Runs a whole training with one call from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdvideo.config import load_config, merge_config
from kdvideo.config.naming import naming_keys
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.engine.launch import RunResult, train
from kdvideo.engine.trainer import Hook
from kdvideo.registry import BACKBONES
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.folder import Zoo, as_zoo
from kdvideo.zoo.formats import parse_clip_spec
from kdvideo.zoo.names_of_sources import source_name
from kdvideo.zoo.sources import resolve_weights

__all__ = ["FINETUNING", "FROM_CLASSES", "FROM_FEATURES", "distill", "finetune", "pretrain"]

# What a student needs to learn from a teacher's features alone. docs/training.md says how the values were chosen.
FROM_FEATURES: dict[str, dict[str, Any]] = {
    "PRETEXT": {"NAME": "none", "TUPLE_LEN": 1},
    "CONTRAST": {"NAME": "none"},
    "CLIP": {"MODALITY": "rgb"},
    "TEACHER": {"LOSSES": ["embedding_distillation"], "VIEWS": 6},
    "SOLVER": {"OPTIMIZER": "adamw", "BASE_LR": 2e-3, "SCHEDULE": "one_cycle"},
}
# What a student needs to learn a classifier's classes from videos without labels: the same, from answers.
FROM_CLASSES: dict[str, dict[str, Any]] = {
    "CLIP": FROM_FEATURES["CLIP"],
    "TEACHER": {"LOSSES": ["logit_distillation"], "VIEWS": 6},
    "SOLVER": FROM_FEATURES["SOLVER"],
}

# How a classifier is trained unless overrides say otherwise, as by model_zoo/configs/finetune.
FINETUNING: dict[str, dict[str, Any]] = {
    "TASK": {"NAME": "supervised"},
    "DATA": {"NAME": "class_folders", "VALIDATION_SHARE": 0.2},
    "SOLVER": {"BASE_LR": 0.03, "EPOCHS": 20, "SCHEDULE": "cosine", "CLIP_GRADIENTS": 2.0},
}


def pretrain(
    *,
    model: str,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    **overrides: Any,
) -> RunResult:
    """Trains a backbone without labels, by PCL(VCP) unless overrides say otherwise.

    A terminal or a notebook shows a bar. More goes to the run's `log.txt` and to the logger "kdvideo";
    `logging.basicConfig(level="INFO")` shows it. Signals are not handled: if one ends the process, the work since the
    last checkpoint is lost.

    Args:
        model: a backbone's name, e.g. "r3d_10".
        data: a folder of videos, which may have subfolders. `DATA={"NAME": "ucf101"}` chooses another kind of dataset.
        out: the run's folder, for metrics, log and checkpoint.
        resume: whether to continue the run in `out`.
        hooks: act around steps and epochs, after kdvideo's own hooks.
        overrides: config keys as in the yaml files: `SEED=1`, `SOLVER={"EPOCHS": 20, "BASE_LR": 0.02}`.

    Returns:
        The trained model, on the CPU and in eval mode, the last metrics, the folder, and the zoo entry if
        `ZOO={"PUBLISH_AS": NAME}` asks for one.

    Raises:
        ValueError: a setting or file cannot work. Raised before the first step.
        FloatingPointError: loss or gradient became infinite or NaN.

    Example:
        ::

            result = kdvideo.pretrain(model="r3d_10", data="videos", out="output/own", SOLVER={"EPOCHS": 20})
            result.model.backbone
    """
    job: dict[str, Any] = {"TASK": {"NAME": "pcl"}, "DATA": {"NAME": "unlabelled"}, "MODEL": {"BACKBONE": model}}
    return _run(job, data, out, resume=resume, hooks=hooks, overrides=overrides)


def distill(
    *,
    teacher: str | Path | Sequence[str | Path] = (),
    student: str,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    **overrides: Any,
) -> RunResult:
    """Trains a student without labels, by imitating one or several teachers.

    A teacher with a pretext head teaches its softened answers beside the student's own PCL losses. Any other teacher
    teaches its features alone, with the settings of `FROM_FEATURES`, unless the overrides name a pretext or a
    contrastive loss. docs/training.md says how these were chosen. With `TASK={"NAME": "supervised"}`, a classifier
    teaches its classes, with those of `FROM_CLASSES`.

    Args:
        teacher: a zoo name, path or URL. A list names several teachers; the student then has PCL's losses if one of
            them has a pretext head. `TEACHERS=[{"WEIGHTS": NAME, "VIEWS": 6}, ...]` in its place says more of each.
        student: the student's backbone.
        data: see `pretrain`.
        out: see `pretrain`.
        resume: see `pretrain`.
        hooks: see `pretrain`.
        overrides: see `pretrain`.

    Returns:
        The same as `pretrain`, for the student.

    Raises:
        ValueError: see `pretrain`; or the teacher is unknown, damaged or trained on another pretext.
        FloatingPointError: see `pretrain`.

    Example:
        ::

            teacher = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
            result = kdvideo.distill(teacher=teacher, student="c3d", data="videos", out="output/student")
    """
    given, overrides = _teacher_blocks([teacher] if isinstance(teacher, str | Path) else teacher, overrides)
    start: dict[str, Any] = {"DATA": {"NAME": "unlabelled"}, "MODEL": {"BACKBONE": student}}
    if overrides.get("TASK", {}).get("NAME") == "supervised":
        blocks = [{**FROM_CLASSES["TEACHER"], **block} for block in given]
        settings = {key: value for key, value in FROM_CLASSES.items() if key != "TEACHER"}
        job = _with_teachers({**start, **settings}, blocks)
        return _run(job, data, out, resume=resume, hooks=hooks, overrides=overrides)
    own_losses = any("NAME" in overrides.get(section, {}) for section in ("PRETEXT", "CONTRAST"))
    zoo = overrides.get("ZOO", {}).get("DIR")
    by_features = [not own_losses and not _has_pretext_head(block["WEIGHTS"], zoo) for block in given]
    blocks = [
        {**(FROM_FEATURES["TEACHER"] if chosen else {}), **block}
        for block, chosen in zip(given, by_features, strict=True)
    ]
    settings = {key: value for key, value in FROM_FEATURES.items() if key != "TEACHER"} if all(by_features) else {}
    job = _with_teachers({"TASK": {"NAME": "distill"}, **start, **settings}, blocks)
    return _run(job, data, out, resume=resume, hooks=hooks, overrides=overrides)


def finetune(
    *,
    model: str | Path,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    **overrides: Any,
) -> RunResult:
    """Trains a classifier from published weights, or from scratch, and measures it on the test videos.

    Network, clips and frame size are those of the weights, the rest is `FINETUNING`, unless the overrides say
    otherwise. A fifth of the training videos is held out to choose the epoch.

    Args:
        model: a zoo name, path or URL; or a backbone's name, which is trained from scratch.
        data: one folder of videos per class, or these in `train` and `test`. `DATA={"NAME": "ucf101"}` chooses another
            kind of dataset.
        out: see `pretrain`.
        resume: see `pretrain`.
        hooks: see `pretrain`.
        overrides: see `pretrain`.

    Returns:
        The same as `pretrain`. The model is a classifier whose `class_names` are those of the dataset.

    Raises:
        ValueError: see `pretrain`; or a config cannot describe the network of the weights.
        FloatingPointError: see `pretrain`.

    Example:
        ::

            pretrained = "r3d_10_w16.pcl-vcp_ucf101mini-s1"
            result = kdvideo.finetune(model=pretrained, data="clips", out="output/mine", ZOO={"PUBLISH_AS": "mine5"})
            kdvideo.predict("new.mp4", model="mine5")
    """
    return _run(_finetuning(source_name(model), overrides), data, out, resume=resume, hooks=hooks, overrides=overrides)


@naming_keys()
def _finetuning(model: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config keys for training from a backbone or from weights, beside those that the user gives."""
    if model in BACKBONES:
        return {**FINETUNING, "MODEL": {"BACKBONE": model}}
    weights = resolve_weights(model, zoo=as_zoo(overrides.get("ZOO", {}).get("DIR")) or Zoo.user())
    text = overrides.get("MODEL", {}).get("CLIP_SPEC")
    spec = read_contents(weights).spec_with(parse_clip_spec(text) if text else None)
    if others := sorted(spec.backbone_kwargs.keys() - {"width"}):
        raise ValueError(
            f"`model` {model} is a {spec.backbone} with {', '.join(others)}, for which a config has no keys: distil it "
            "into a backbone, or write the loop yourself as examples/finetune.py does"
        )
    clip, usual = spec.clip_spec, ClipSpec()
    fields = ("sampling", "interpolation", "resize")
    if lost := [f"{one} {getattr(clip, one)}" for one in fields if getattr(clip, one) != getattr(usual, one)]:
        raise ValueError(
            f"`model` {model} takes clips with {', '.join(lost)}, for which a config has no keys: distil it into a "
            "backbone, or write the loop yourself as examples/finetune.py does"
        )
    width = {"WIDTH": spec.backbone_kwargs["width"]} if "width" in spec.backbone_kwargs else {}
    return {
        **FINETUNING,
        "MODEL": {"BACKBONE": spec.backbone, "WEIGHTS": model, **width},
        "CLIP": {
            "LENGTH": clip.clip_len,
            "FRAME_STRIDE": clip.frame_stride,
            "SIZE": clip.size,
            "MEAN": list(clip.mean),
            "STD": list(clip.std),
            "MODALITY": clip.modality,
        },
        "DATA": {**FINETUNING["DATA"], "SHORT_SIDE": clip.own_short_side},
    }


def _teacher_blocks(
    teachers: Sequence[str | Path], overrides: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Returns a block for each teacher, which are named by `teacher` or in TEACHERS, and the other overrides."""
    rest = dict(overrides)
    given = list(rest.pop("TEACHERS", ()))
    names = [source_name(each) for each in teachers]
    if names and given:
        raise ValueError(f"`teacher` is {', '.join(names)}, but there are TEACHERS: give one of the two")
    if not (names or given) or not all(isinstance(block, Mapping) and block.get("WEIGHTS") for block in given):
        raise ValueError("a teacher has no name: give `teacher`, or TEACHERS=[{'WEIGHTS': NAME}, ..]")
    return given or [{"WEIGHTS": name} for name in names], rest


def _with_teachers(job: dict[str, Any], blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds teachers to a job: TEACHER for one, which overrides may change key by key, and TEACHERS for several."""
    return {**job, **({"TEACHER": blocks[0]} if len(blocks) == 1 else {"TEACHERS": blocks})}


@naming_keys()
def _has_pretext_head(teacher: str, zoo: str | None) -> bool:
    weights = resolve_weights(teacher, zoo=as_zoo(zoo) or Zoo.user())
    if weights.path.is_dir():
        return False  # of the transformers library, which may also need TEACHER.CLIP_SPEC to be read
    spec = weights.entry.model if weights.entry else read_contents(weights).spec
    return spec is not None and spec.head == "pcl_head"


def _run(
    job: Mapping[str, Any],
    data: str | Path,
    out: str | Path,
    *,
    resume: bool,
    hooks: Sequence[Hook],
    overrides: Mapping[str, Any],
) -> RunResult:
    cfg = load_config()
    for values in (job, {"DATA": {"ROOT": str(data)}, "OUTPUT_DIR": str(out)}, overrides):
        merge_config(cfg, values, origin="the call")
    return train(cfg, resume=resume, extra_hooks=hooks)
