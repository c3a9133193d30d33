"""Trains a model from a config and publishes it. `kdvideo train` and `tools/train_net.py` use it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import validate_config
from kdvideo.config.naming import naming_keys
from kdvideo.config.teachers import naming_teacher, teacher_configs, with_sampling
from kdvideo.device import choose_device
from kdvideo.distributed import any_rank, is_main, main_first, process_group, wait_for_all, was_restarted
from kdvideo.engine.build import configured_zoo
from kdvideo.engine.checkpoint import check_same_run, load_checkpoint
from kdvideo.engine.environment import computing, describe_run, exclusive_use, prepare_output, refuse_other_run
from kdvideo.engine.guards import EVALUATION_MEMORY, out_of_memory_means, writing
from kdvideo.engine.identity import check_same_teachers
from kdvideo.engine.log import log_to
from kdvideo.engine.pretraining import pretraining
from kdvideo.engine.publish import write_results
from kdvideo.engine.run import RunParts
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.stop import Stopping, never_stop
from kdvideo.engine.supervised import supervised
from kdvideo.engine.teachers import load_teachers
from kdvideo.engine.trainer import Hook
from kdvideo.engine.training import build_hooks, build_own_hooks, build_task, build_trainer, load_state
from kdvideo.files import remove_temporaries
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model
from kdvideo.needs import needs_of
from kdvideo.tasks.teacher import check_teacher, choose_frames, compares_answers
from kdvideo.tasks.views import check_views
from kdvideo.workers import explain_losses
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.publish import check_publishable
from kdvideo.zoo.sources import Weights

__all__ = ["RunResult", "train", "with_single_clips"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class RunResult:
    """The results of a run.

    Attributes:
        model: the trained network, on the CPU and in eval mode.
        metrics: the last line of `metrics.jsonl`.
        output_dir: the run's folder.
        entry: the published entry, or None. Rank 0 alone publishes.
    """

    model: Model
    metrics: dict[str, Any]
    output_dir: Path
    entry: ZooEntry | None


@naming_keys()
@process_group()
def train(
    cfg: CfgNode, *, resume: bool = False, extra_hooks: Sequence[Hook] = (), stopping: Stopping = never_stop
) -> RunResult:
    """Trains and evaluates a model, and publishes it if ZOO.PUBLISH_AS is set.

    If torchrun starts it, it works together with the other processes of the run.

    Args:
        cfg: a loaded config, which this function checks.
        resume: whether to continue OUTPUT_DIR's checkpoint. A run that torchrun or Slurm has restarted does so anyway.
        extra_hooks: hooks that run after kdvideo's own.
        stopping: how the run is stopped between two steps, with a checkpoint. `kdvideo.engine.stop.stop_signals` stops
            it at SIGTERM and SIGUSR2, as the command line does. By default, signals are not handled.

    Raises:
        ValueError: a config, dataset, teacher or folder cannot work. Raised before the first step.
        FloatingPointError: loss, gradient, weights or outputs became infinite or NaN. The last checkpoint is good.
        MemoryError: memory ran out. The message says which setting to lower.
        OSError: the disk is full, a folder is read-only, or a video is missing. The last checkpoint is complete.
        ConnectionError: another process of the run has ended.
        Preempted: `stopping` stopped the run after a step. `resume` continues it.
    """
    validate_config(cfg)
    cfg = with_single_clips(cfg)
    zoo = configured_zoo(cfg)
    teachers = load_teachers(cfg)
    models, sources = [model for model, _ in teachers], [weights for _, weights in teachers]
    cfg, reasons = _with_frames_chosen(cfg, models)  # before a config is compared, stored or hashed
    if cfg.ZOO.PUBLISH_AS:
        check_publishable(cfg.ZOO.PUBLISH_AS, zoo=zoo, replace=cfg.ZOO.REPLACE, config=cfg.dump())
    if needs_of(cfg.TASK.NAME).losses:
        _check_teachers(cfg, models)
    folder, device = prepare_output(cfg), choose_device()
    arithmetic = computing(device, precision=cfg.SOLVER.AMP, deterministic=cfg.SOLVER.DETERMINISTIC)
    with exclusive_use(folder), log_to(folder.log), explain_losses(), arithmetic:
        if is_main():
            remove_temporaries(folder.path)
        checkpoint = _find_checkpoint(cfg, folder, resume=resume, teachers=sources)
        if is_main():
            with writing(folder.path):
                describe_run(cfg, folder, device=device)
            _tell_frames(cfg, reasons)
        torch.manual_seed(cfg.SEED)
        parts = _put_together(cfg, folder, device=device, resumed=checkpoint is not None, teachers=models)
        task = build_task(cfg, parts, teachers=teachers, device=device)
        trainer = build_trainer(cfg, parts, task=task, device=device)
        if checkpoint is not None:
            load_state(cfg, parts, trainer, checkpoint)
        measurements = parts.prepare_measurements()  # last, because it decodes for minutes on a large dataset
        hooks = build_hooks(cfg, parts, measurements, folder=folder, trainer=trainer, teachers=sources)
        with stopping() as asked:  # later signals end the process, and a restart repeats the remaining work
            trainer.train([*hooks, *build_own_hooks(cfg, folder), *extra_hooks], should_stop=lambda: any_rank(asked()))
        wait_for_all()  # until rank 0 has written which epoch is the best
        if trainer.run_step.average is not None:
            trainer.run_step.average.give()
        with out_of_memory_means(EVALUATION_MEMORY):
            final = measurements.at_end(trainer.epoch)
        entry = write_results(cfg, parts, final, teachers=sources, folder=folder) if is_main() else None
    return RunResult(model=parts.model.cpu().eval(), metrics=final.line, output_dir=folder.path, entry=entry)


def _put_together(
    cfg: CfgNode, folder: RunFolder, *, device: torch.device, resumed: bool, teachers: Sequence[Model]
) -> RunParts:
    if not needs_of(cfg.TASK.NAME).classes:
        return pretraining(cfg, folder, device=device, resumed=resumed)
    return supervised(cfg, folder, device=device, resumed=resumed, teacher=_teacher_of_classes(cfg, teachers))


def _find_checkpoint(
    cfg: CfgNode, folder: RunFolder, *, resume: bool, teachers: Sequence[Weights]
) -> dict[str, Any] | None:
    """Returns the state from which the run continues. None for a new run."""
    if not resume and not (was_restarted() and folder.checkpoints()):
        refuse_other_run(folder)
        return None
    with main_first():  # rank 0 renames damaged ones
        checkpoint = load_checkpoint(folder)
    check_same_run(cfg, checkpoint)
    check_same_teachers(teachers, checkpoint, listed=bool(cfg.TEACHERS))
    return checkpoint


def with_single_clips(cfg: CfgNode) -> CfgNode:
    """Returns the config of a run that learns a teacher's classes, whose samples are single clips, without a pretext.

    Other configs stay as they are. It is done before a config is compared, stored or hashed, because a store of
    answers depends on what a sample is.
    """
    needs = needs_of(cfg.TASK.NAME)
    if not (needs.classes and needs.losses and teacher_configs(cfg)):
        return cfg
    single = cfg.clone()
    single.defrost()
    single.PRETEXT.NAME, single.PRETEXT.TUPLE_LEN, single.CONTRAST.NAME = "none", 1, "none"
    return single


def _with_frames_chosen(cfg: CfgNode, teachers: Sequence[Model]) -> tuple[CfgNode, list[str]]:
    """Returns a copy of the config with "shared" or "own" for each teacher's SAMPLING auto.

    It also returns why, for each; "" where nothing was chosen.
    """
    pairs = zip(teacher_configs(cfg), teachers, strict=True)
    chosen = [choose_frames(one.TEACHER.SAMPLING, teacher) for one, teacher in pairs]
    return with_sampling(cfg, [frames for frames, _ in chosen]), [why for _, why in chosen]


def _tell_frames(cfg: CfgNode, reasons: Sequence[str]) -> None:
    for number, (one, why) in enumerate(zip(teacher_configs(cfg), reasons, strict=True), start=1):
        if why and not one.TEACHER.VIEWS:
            key = f"TEACHERS.{number}.SAMPLING" if cfg.TEACHERS else "TEACHER.SAMPLING"
            logger.info("%s auto: %s, because %s", key, one.TEACHER.SAMPLING, why)


def _teacher_of_classes(cfg: CfgNode, models: Sequence[Model]) -> Model | None:
    """Returns the teacher whose classes a student learns: the first classifier that a loss asks for its answers.

    If there is none, it is the first teacher; None without teachers.
    """
    asked = [
        model
        for one, model in zip(teacher_configs(cfg), models, strict=True)
        if isinstance(model, ClassificationModel) and any(map(compares_answers, one.TEACHER.LOSSES))
    ]
    return next(iter([*asked, *models]), None)


def _check_teachers(cfg: CfgNode, models: Sequence[Model]) -> None:
    for number, (one, model) in enumerate(zip(teacher_configs(cfg), models, strict=True), start=1):
        with naming_teacher(cfg, number):
            _check_teacher(one, model)


def _check_teacher(cfg: CfgNode, model: Model) -> None:
    classes = needs_of(cfg.TASK.NAME).classes
    if cfg.TEACHER.VIEWS:
        check_views(cfg.TEACHER.LOSSES, pretext=cfg.PRETEXT.NAME, tuple_len=cfg.PRETEXT.TUPLE_LEN, classes=classes)
    check_teacher(
        model,
        cfg.TEACHER.LOSSES,
        name=cfg.TEACHER.WEIGHTS,
        pretext=cfg.PRETEXT.NAME,
        tuple_len=cfg.PRETEXT.TUPLE_LEN,
        frames="views" if cfg.TEACHER.VIEWS else cfg.TEACHER.SAMPLING,
        classes=classes,
    )
