"""Runs a whole training with one call from Python."""

from pathlib import Path
from typing import Any

from kdvideo.config import load_config, merge_config
from kdvideo.engine.launch import RunResult, train

__all__ = ["distill", "pretrain"]


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
    teacher: str,
    student: str,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    **overrides: Any,
) -> RunResult:
    """Trains a student without labels, by its own PCL losses and by imitating a teacher's softened answers.

    A teacher without a pretext head teaches by its features: `TEACHER={"LOSSES": ["embedding_distillation"]}`.

    Args:
        teacher: a zoo name, path or URL.
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
    job = {"TASK": {"NAME": "distill"}, "TEACHER": {"WEIGHTS": teacher}}
    return _run(job, student, data, out, resume=resume, overrides=overrides)


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
