"""Runs a whole training with one call from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdvideo.config import load_config, merge_config
from kdvideo.config.naming import naming_keys
from kdvideo.engine.launch import RunResult, train
from kdvideo.zoo.contents import read_contents
from kdvideo.zoo.folder import Zoo, as_zoo
from kdvideo.zoo.sources import resolve_weights

__all__ = ["FROM_CLASSES", "FROM_FEATURES", "distill", "pretrain"]

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


def pretrain(*, model: str, data: str | Path, out: str | Path, resume: bool = False, **overrides: Any) -> RunResult:
    """Trains a backbone without labels, by PCL(VCP) unless overrides say otherwise.

    Progress goes to the run's `log.txt` and to the logger "kdvideo"; `logging.basicConfig(level="INFO")` shows it.
    Signals are not handled: if one ends the process, the work since the last checkpoint is lost.

    Args:
        model: a backbone's name, e.g. "r3d_10".
        data: a folder of videos, which may have subfolders. `DATA={"NAME": "ucf101"}` chooses another kind of dataset.
        out: the run's folder, for metrics, log and checkpoint.
        resume: whether to continue the run in `out`.
        overrides: config keys as in the yaml files: `SEED=1`, `SOLVER={"EPOCHS": 20, "BASE_LR": 0.02}`.

    Returns:
        The trained model, on the CPU and in eval mode, the last metrics, the folder, and the zoo entry if
        `ZOO={"PUBLISH_AS": NAME}` asks for one.

    Raises:
        ValueError: a setting or file cannot work. Raised before the first step.
        FloatingPointError: loss or gradient became infinite or NaN.
    """
    return _run({"TASK": {"NAME": "pcl"}}, model, data, out, resume=resume, overrides=overrides)


def distill(
    *,
    teacher: str | Sequence[str],
    student: str,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    **overrides: Any,
) -> RunResult:
    """Trains a student without labels, by imitating one or several teachers.

    A teacher with a pretext head teaches its softened answers beside the student's own PCL losses. Any other teacher
    teaches its features alone, with the settings of `FROM_FEATURES`, unless the overrides name a pretext or a
    contrastive loss. docs/training.md says how these were chosen. With `TASK={"NAME": "supervised"}`, a classifier
    teaches its classes, with those of `FROM_CLASSES`.

    Args:
        teacher: a zoo name, path or URL. A list names several teachers; the student then has PCL's losses if one of
            them has a pretext head. `TEACHERS=[{"WEIGHTS": NAME, "VIEWS": 6}, ...]` says more of each.
        student: the student's backbone.
        data: see `pretrain`.
        out: see `pretrain`.
        resume: see `pretrain`.
        overrides: see `pretrain`.

    Returns:
        The same as `pretrain`, for the student.

    Raises:
        ValueError: see `pretrain`; or the teacher is unknown, damaged or trained on another pretext.
        FloatingPointError: see `pretrain`.
    """
    names = [teacher] if isinstance(teacher, str) else list(teacher)
    if not names:
        raise ValueError("teacher is an empty list: name at least one")
    if overrides.get("TASK", {}).get("NAME") == "supervised":
        blocks = [{**FROM_CLASSES["TEACHER"], "WEIGHTS": name} for name in names]
        job = _with_teachers({key: value for key, value in FROM_CLASSES.items() if key != "TEACHER"}, blocks)
        return _run(job, student, data, out, resume=resume, overrides=overrides)
    own_losses = any("NAME" in overrides.get(section, {}) for section in ("PRETEXT", "CONTRAST"))
    zoo = overrides.get("ZOO", {}).get("DIR")
    by_features = [not own_losses and not _has_pretext_head(name, zoo) for name in names]
    blocks = [
        {"WEIGHTS": name, **(FROM_FEATURES["TEACHER"] if chosen else {})}
        for name, chosen in zip(names, by_features, strict=True)
    ]
    settings = {key: value for key, value in FROM_FEATURES.items() if key != "TEACHER"} if all(by_features) else {}
    job = _with_teachers({"TASK": {"NAME": "distill"}, **settings}, blocks)
    return _run(job, student, data, out, resume=resume, overrides=overrides)


def _with_teachers(job: dict[str, Any], blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Adds teachers to a job: TEACHER for one, which overrides may change key by key, and TEACHERS for several."""
    return {**job, **({"TEACHER": blocks[0]} if len(blocks) == 1 else {"TEACHERS": blocks})}


@naming_keys()
def _has_pretext_head(teacher: str, zoo: str | None) -> bool:
    spec = read_contents(resolve_weights(teacher, zoo=as_zoo(zoo) or Zoo.user())).spec
    return spec is not None and spec.head == "pcl_head"


def _run(
    job: dict[str, Any],
    model: str,
    data: str | Path,
    out: str | Path,
    *,
    resume: bool,
    overrides: dict[str, Any],
) -> RunResult:
    cfg = load_config()
    asked = {"MODEL": {"BACKBONE": model}, "DATA": {"NAME": "unlabelled", "ROOT": str(data)}, "OUTPUT_DIR": str(out)}
    for values in (job, asked, overrides):
        merge_config(cfg, values, origin="the call")
    return train(cfg, resume=resume)
