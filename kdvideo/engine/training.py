"""Builds the training of a run: its task, its hooks, and its trainer in a checkpoint's state."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

from kdvideo.config import plain_config
from kdvideo.config.teachers import naming_teacher, teacher_configs
from kdvideo.distributed import is_main, world_size
from kdvideo.engine.build import build_train_loader
from kdvideo.engine.guards import TRAINING_MEMORY, out_of_memory_means
from kdvideo.engine.hooks import Checkpointer, EpochEvaluation, MetricsWriter, OfTheAverage, Progress
from kdvideo.engine.identity import check_same_videos, describe_teachers, describe_videos
from kdvideo.engine.memory import use_huge_pages
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.parallel import synchronise_batch_norm
from kdvideo.engine.precision import AMP_DTYPES, compile_preparation, prepare_frozen, prepare_student
from kdvideo.engine.replay import open_replay
from kdvideo.engine.resident import build_batch_transform, keep_on_device
from kdvideo.engine.run import Measurements, RunParts
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.step import StepOptions
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.engine.views import open_views
from kdvideo.errors import check_call
from kdvideo.models.spec import Model, backbone_of
from kdvideo.registry import HOOKS, TASKS
from kdvideo.tasks.replay import ReplayStore
from kdvideo.tasks.task import Task
from kdvideo.zoo.sources import Weights

__all__ = ["build_hooks", "build_own_hooks", "build_task", "build_trainer", "load_state"]

logger = logging.getLogger("kdvideo")

# How the trainer calls a hook, with the names of the arguments in their places.
_CALLS_OF_HOOKS = {
    "before_epoch": ("trainer",),
    "after_step": ("trainer", "scalars"),
    "after_epoch": ("trainer", "metrics"),
    "before_stop": ("trainer",),
    "close": (),
}


@out_of_memory_means(TRAINING_MEMORY)
def build_task(
    cfg: CfgNode, parts: RunParts, *, teachers: Sequence[tuple[Model, Weights]], device: torch.device
) -> Task:
    """Builds the task on its device. Its teachers are frozen, and the student has the precision of SOLVER.AMP."""
    pairs = [_prepare_teacher(cfg, number, parts, teacher, device) for number, teacher in enumerate(teachers, start=1)]
    options: dict[str, Any] = {"teacher": pairs[0][0] if pairs else None}
    if pairs and pairs[0][1] is not None:
        options["replay"] = pairs[0][1]
    if pairs[1:]:
        options["others"] = pairs[1:]
    options |= {"model": parts.model, "num_videos": len(parts.videos)}
    from_config = getattr(TASKS.get(cfg.TASK.NAME), "from_config", None)
    if from_config is None:
        raise ValueError(f"TASK.NAME {cfg.TASK.NAME} has no from_config(cfg, *, {', '.join(options)})")
    check_call(f"from_config of TASK.NAME {cfg.TASK.NAME}", from_config, cfg, **options)
    task = from_config(cfg, **options)
    _check_task(cfg, task)
    if cfg.SOLVER.SYNC_BN and world_size() > 1:
        synchronise_batch_norm(parts.model)
    task.to(device)
    use_huge_pages(task)
    prepare_student(backbone_of(parts.model), cfg, device=device)
    if cfg.SOLVER.COMPILE:
        compile_preparation(task, replayed=any(replay is not None for _, replay in pairs))
    logger.info("%s", task.describe())
    return task


def _check_task(cfg: CfgNode, task: Task) -> None:
    """Raises a ValueError if a task of the user's own is not what `TASKS.__doc__` says."""
    name = cfg.TASK.NAME
    if not isinstance(task, Task):
        raise ValueError(f"TASK.NAME {name} has built a {type(task).__name__}: derive it from kdvideo.tasks.Task")
    if not isinstance(getattr(task, "trainable", None), nn.Module):
        raise ValueError(f"TASK.NAME {name} has no trainable: set self.trainable to the module that is optimised")


def _prepare_teacher(
    cfg: CfgNode, number: int, parts: RunParts, teacher: tuple[Model, Weights], device: torch.device
) -> tuple[Model, ReplayStore | None]:
    """Freezes one of the teachers, counted from 1, in its precision. Opens the store of its answers if it has one."""
    one = (teacher_configs(cfg) or [cfg])[number - 1]
    replayed = bool(one.TEACHER.REPLAY or one.TEACHER.VIEWS)
    # Replayed answers would depend on the compiler, and they are computed once only.
    compiled = cfg.SOLVER.COMPILE and not replayed
    folded = prepare_frozen(teacher[0], AMP_DTYPES[cfg.SOLVER.AMP], compiled=compiled)
    logger.info("teacher: %d BatchNorms folded into convolutions, %s", folded, cfg.SOLVER.AMP)
    if not replayed:
        return teacher[0], None
    with naming_teacher(cfg, number):
        return teacher[0], _open_store(one, parts, teacher, device)


def _open_store(cfg: CfgNode, parts: RunParts, teacher: tuple[Model, Weights], device: torch.device) -> ReplayStore:
    """Opens the store of a teacher's answers: to its views of the videos, or to the samples of each epoch."""
    model, weights = teacher
    if cfg.TEACHER.VIEWS:
        listed = parts.listed or parts.videos
        return open_views(cfg, listed, teacher=model, weights=weights, device=device, used=parts.videos)
    return open_replay(cfg, parts.videos, teacher=model, teacher_sha256=weights.answers_sha256, device=device)


def build_trainer(cfg: CfgNode, parts: RunParts, *, task: Task, device: torch.device) -> Trainer:
    """Builds loader, optimizer and schedule, and the trainer that connects them with the task."""
    dataset = parts.build_dataset(task)
    dataset.mixup = cfg.AUGMENT.MIXUP
    resident = keep_on_device(cfg, dataset, device=device)
    optimizer = build_optimizer(cfg, task.trainable, backbone=backbone_of(parts.model))
    return Trainer(
        task,
        build_train_loader(cfg, dataset),
        optimizer=optimizer,
        schedule=build_schedule(cfg, optimizer, metric=parts.validation_metric),
        num_epochs=cfg.SOLVER.EPOCHS,
        device=device,
        options=StepOptions(
            clip_gradients=cfg.SOLVER.CLIP_GRADIENTS,
            accumulate=cfg.SOLVER.ACCUMULATE,
            scale_loss=cfg.SOLVER.AMP == "fp16",
            graphed=cfg.SOLVER.CUDA_GRAPH,
            average=cfg.SOLVER.EMA,
        ),
        batch_transform=build_batch_transform(cfg, dataset, resident),
    )


def load_state(cfg: CfgNode, parts: RunParts, trainer: Trainer, checkpoint: Mapping[str, Any]) -> None:
    """Restores a trainer to the state of a checkpoint.

    Raises:
        ValueError: the checkpoint comes from a run on other videos.
    """
    check_same_videos(parts.videos, checkpoint, dataset=cfg.DATA.NAME)
    trainer.load_state(checkpoint)
    logger.info("resumed after epoch %d and %d steps", trainer.epoch, trainer.epoch_step)


def build_hooks(
    cfg: CfgNode,
    parts: RunParts,
    measurements: Measurements,
    *,
    folder: RunFolder,
    trainer: Trainer,
    teachers: Sequence[Weights] = (),
) -> Sequence[Hook]:
    """Builds a run's hooks in their order: evaluation, choice of the epoch, files, progress. Rank 0 alone writes."""
    hooks: list[Hook] = [EpochEvaluation(measurements.at_epoch, period=cfg.EVAL.PERIOD), *measurements.hooks]
    if trainer.run_step.average is not None:
        hooks = [OfTheAverage(hooks)]
    if not is_main():
        return hooks
    return [
        *hooks,
        MetricsWriter(folder, first_epoch=trainer.epoch),
        # After the metrics: a line without its checkpoint is written again. In the other order, the line would be lost.
        Checkpointer(
            folder,
            epochs=cfg.SOLVER.CHECKPOINT_EPOCHS,
            period=cfg.SOLVER.CHECKPOINT_PERIOD,
            max_to_keep=cfg.SOLVER.CHECKPOINT_MAX_TO_KEEP,
            extra={
                **parts.describe_model(),
                "config": plain_config(cfg),
                "videos": describe_videos(parts.videos),
                **describe_teachers(teachers),
            },
        ),
        Progress(cfg.SOLVER.EPOCHS * len(trainer.loader), done=trainer.step),
    ]


def build_own_hooks(cfg: CfgNode, folder: RunFolder) -> list[Hook]:
    """Builds the hooks that SOLVER.HOOKS names.

    Raises:
        ValueError: one is no `Hook`, or cannot be called as hooks are.
    """
    hooks = []
    for name in cfg.SOLVER.HOOKS:
        check_call(f"SOLVER.HOOKS {name}", HOOKS.get(name), cfg, folder=folder)
        hook = HOOKS.get(name)(cfg, folder=folder)
        if not isinstance(hook, Hook):
            raise ValueError(
                f"SOLVER.HOOKS {name} has built a {type(hook).__name__}: derive it from kdvideo.engine.trainer.Hook"
            )
        for method, arguments in _CALLS_OF_HOOKS.items():
            check_call(f"{method} of SOLVER.HOOKS {name}", getattr(hook, method), *arguments)
        hooks.append(hook)
    return hooks
