"""A run from config to published student: what `kdvideo train` and `tools/train_net.py` do."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import validate_config
from kdvideo.config.naming import naming_keys
from kdvideo.distributed import any_rank, is_main, main_first, process_group, wait_for_all, was_restarted
from kdvideo.engine.build import configured_zoo, read_clip_spec
from kdvideo.engine.checkpoint import check_same_run, load_checkpoint
from kdvideo.engine.environment import describe_run, exclusive_use, prepare_output, refuse_other_run
from kdvideo.engine.guards import out_of_memory_means, writing
from kdvideo.engine.log import log_to
from kdvideo.engine.parallel import check_sync_bn
from kdvideo.engine.pretraining import PretrainingRun
from kdvideo.engine.publish import publish_command
from kdvideo.engine.run import FinalResult, Run
from kdvideo.engine.stop import Stopping, never_stop
from kdvideo.engine.supervised import SupervisedRun
from kdvideo.engine.trainer import Hook
from kdvideo.errors import naming
from kdvideo.files import remove_temporaries
from kdvideo.models.spec import Model
from kdvideo.registry import TASKS
from kdvideo.tasks.teacher import check_teacher
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_model
from kdvideo.zoo.publish import check_publishable
from kdvideo.zoo.sources import Weights

__all__ = ["RunResult", "train"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    Attributes:
        model: the trained network, in eval mode.
        metrics: the last line of `metrics.jsonl`.
        output_dir: the run's folder.
        entry: what was published, or None; rank 0 alone publishes.
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
    """Trains and evaluates a model; with ZOO.PUBLISH_AS, publishes it.

    Started by torchrun, it does so together with the run's other processes.

    Args:
        cfg: a loaded config; it is checked here.
        resume: continue from OUTPUT_DIR's checkpoint. A run that torchrun or Slurm has restarted does so by itself.
        extra_hooks: run after kdvideo's own.
        stopping: how the run is stopped between two steps, with a checkpoint. `kdvideo.engine.stop.stop_signals` does
            it at SIGTERM and SIGUSR2, as the command line does; by default signals are left alone.

    Raises:
        ValueError: a config, dataset, teacher or folder that cannot work, before any step is taken.
        FloatingPointError: loss, gradient, weights or outputs became infinite or NaN; the last checkpoint is good.
        MemoryError: says which setting to lower.
        OSError: the disk is full, a folder read-only, a video gone; the last checkpoint is whole.
        ConnectionError: another process of the run has ended.
        Preempted: `stopping` stopped the run after a step; `resume` goes on from there.
    """
    validate_config(cfg)
    check_sync_bn(cfg)
    zoo = configured_zoo(cfg)
    if cfg.ZOO.PUBLISH_AS:
        check_publishable(cfg.ZOO.PUBLISH_AS, zoo=zoo, replace=cfg.ZOO.REPLACE, config=cfg.dump())
    teacher, teacher_weights = _load_teacher(cfg, zoo)
    folder = prepare_output(cfg)
    with exclusive_use(folder), log_to(folder.log):
        if is_main():
            remove_temporaries(folder.path)
        if resume or (was_restarted() and folder.checkpoints()):
            with main_first():  # who puts damaged ones aside
                checkpoint = load_checkpoint(folder)
            check_same_run(cfg, checkpoint)
        else:
            refuse_other_run(folder)
            checkpoint = None
        if is_main():
            with writing(folder.path):
                describe_run(cfg, folder)
        run = _run_class(cfg.TASK.NAME)(cfg, folder, resumed=checkpoint is not None)
        trainer = run.build_trainer(
            teacher, teacher_weights=teacher_weights, checkpoint=checkpoint, extra_hooks=extra_hooks
        )
        with stopping() as asked:  # later signals end the process: what is left is done again
            trainer.should_stop = lambda: any_rank(asked())
            trainer.train()
        wait_for_all()  # until rank 0 has written which epoch is the best
        with out_of_memory_means("lower EVAL.BATCH_SIZE"):
            final = run.measure_final(epoch=trainer.epoch)
        entry = _write_results(run, final, teacher_weights, zoo=zoo) if is_main() else None
    return RunResult(model=run.model.eval(), metrics=final.line, output_dir=folder.path, entry=entry)


def _write_results(run: Run, final: FinalResult, teacher: Weights | None, *, zoo: Zoo) -> ZooEntry | None:
    run.folder.append_line(final.line)
    facts = run.facts(final, teacher)
    run.folder.write_facts(facts)
    if run.cfg.ZOO.PUBLISH_AS:
        return run.publish(facts, zoo=zoo)
    logger.info("to publish it: %s", publish_command(run.cfg, run.folder.path))
    return None


def _run_class(task: str) -> type[Run]:
    return SupervisedRun if TASKS.get(task).needs_labels else PretrainingRun


def _load_teacher(cfg: CfgNode, zoo: Zoo) -> tuple[Model | None, Weights | None]:
    if not cfg.TEACHER.WEIGHTS:
        return None, None
    clip_spec = read_clip_spec(cfg, "TEACHER")
    with naming(clip_spec="TEACHER.CLIP_SPEC"):
        model, weights = load_model(cfg.TEACHER.WEIGHTS, zoo=zoo, clip_spec=clip_spec)
    check_teacher(
        model,
        cfg.TEACHER.LOSSES,
        name=cfg.TEACHER.WEIGHTS,
        pretext=cfg.PRETEXT.NAME,
        tuple_len=cfg.PRETEXT.TUPLE_LEN,
        frames=cfg.TEACHER.SAMPLING,
    )
    return model.to(memory_format=torch.channels_last_3d), weights
