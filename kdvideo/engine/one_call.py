"""The launcher's job as one call from Python."""

from pathlib import Path
from typing import Any

from kdvideo.config import load_config, merge_config
from kdvideo.engine.launch import RunResult, train

__all__ = ["distill", "pretrain"]


def pretrain(*, model: str, data: str | Path, out: str | Path, resume: bool = False, **overrides: Any) -> RunResult:
    """Trains a backbone without labels, by PCL(VCP) unless overrides say otherwise.

    Progress goes to the run's `log.txt` and the logger "kdvideo"; `logging.basicConfig(level="INFO")` shows it.
    Signals are left alone: one that ends the process costs what came after the last checkpoint.

    Args:
        model: a backbone's name, e.g. "r3d_10".
        data: a folder of videos, in any subfolders; other datasets by `DATA={"NAME": "ucf101"}`.
        out: the run's folder: metrics, log, checkpoint.
        resume: continue the run in `out`.
        overrides: config keys as the yaml files have them: `SEED=1`, `SOLVER={"EPOCHS": 20, "BASE_LR": 0.02}`.

    Returns:
        The trained model in eval mode, the last metrics, the folder, and the zoo entry where `ZOO={"PUBLISH_AS": NAME}`
        asks for one.

    Raises:
        ValueError: what cannot work, before any step is taken.
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
    """Trains a student without labels: its own PCL losses, and a teacher's softened answers to imitate.

    A teacher without a pretext head teaches by its features: `TEACHER={"LOSSES": ["embedding_distillation"]}`.

    Args:
        teacher: a zoo name, path or URL.
        student: the student's backbone.
        data: as in `pretrain`.
        out: as in `pretrain`.
        resume: as in `pretrain`.
        overrides: as in `pretrain`.

    Returns:
        As `pretrain`, of the student.

    Raises:
        ValueError: as `pretrain`, also a teacher that is unknown, damaged or of another pretext.
        FloatingPointError: as `pretrain`.
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
