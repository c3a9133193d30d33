"""A run from config to published student: what `kdvideo train` and `tools/train_net.py` do."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import simplejson
import torch
from fvcore.common.config import CfgNode

import kdvideo.models
import kdvideo.tasks  # noqa: F401 - with kdvideo.models it fills the registries
from kdvideo.config import validate_config
from kdvideo.data.samples import TupleConfig, VideoList, keep_long_enough
from kdvideo.engine.build import (
    build_eval_config,
    build_model,
    build_model_spec,
    build_train_loader,
    build_tuple_config,
    follow_model,
    load_videos,
    zoo_dir_of,
)
from kdvideo.engine.checkpoint import CHECKPOINT_NAME, check_same_run, load_checkpoint
from kdvideo.engine.environment import describe_run, exclusive_use, prepare_output, refuse_other_run, set_up_logging
from kdvideo.engine.hooks import Checkpointer, Evaluation, MetricsWriter, Progress, append_metrics
from kdvideo.engine.memory import keep_freed_memory
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.trainer import Hook, Trainer
from kdvideo.evaluation.protocols import EpochEvaluator, evaluate_retrieval
from kdvideo.files import write_text
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import Model
from kdvideo.registry import PRETEXTS, TASKS
from kdvideo.tasks.distill import check_teacher
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.formats import parse_clip_spec
from kdvideo.zoo.load import load_model, load_pcl_model, load_pretrained
from kdvideo.zoo.publish import check_publishable, publish
from kdvideo.zoo.sources import Weights

__all__ = ["RunResult", "evaluate", "train"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    Attributes:
        model: the trained network, in eval mode.
        metrics: the last line of `metrics.jsonl`.
        output_dir: the run's folder.
        entry: what was published, or None.
    """

    model: PCLModel
    metrics: dict[str, Any]
    output_dir: Path
    entry: ZooEntry | None


def train(cfg: CfgNode, *, resume: bool = False, extra_hooks: Sequence[Hook] = ()) -> RunResult:
    """Trains, evaluates and, with ZOO.PUBLISH_AS, publishes.

    Args:
        cfg: a loaded config; it is checked here.
        resume: continue from OUTPUT_DIR's checkpoint.
        extra_hooks: run after kdvideo's own.

    Raises:
        ValueError: a config, dataset, teacher or folder that cannot work, before any step is taken.
        FloatingPointError: loss or gradient became infinite or NaN.
    """
    validate_config(cfg)
    zoo_dir = zoo_dir_of(cfg)
    if cfg.ZOO.PUBLISH_AS:
        check_publishable(cfg.ZOO.PUBLISH_AS, zoo_dir=zoo_dir, replace=cfg.ZOO.REPLACE, config=cfg.dump())
    teacher, teacher_weights = _load_teacher(cfg, zoo_dir)
    output_dir = prepare_output(cfg)
    with exclusive_use(output_dir):
        if resume:
            checkpoint = load_checkpoint(output_dir)
            check_same_run(cfg, checkpoint)
        else:
            refuse_other_run(output_dir)
            checkpoint = None
        describe_run(cfg, output_dir)
        run = _Run(cfg, output_dir)
        trainer = run.build_trainer(teacher, checkpoint=checkpoint, extra_hooks=extra_hooks)
        trainer.train()
        metrics = run.measure_final(epoch=trainer.epoch)
        append_metrics(run.output_dir, metrics)
        entry = run.publish(metrics, teacher_weights, zoo_dir=zoo_dir) if cfg.ZOO.PUBLISH_AS else None
    return RunResult(model=run.model.eval(), metrics=metrics, output_dir=run.output_dir, entry=entry)


def evaluate(cfg: CfgNode) -> dict[str, Any]:
    """Measures MODEL.WEIGHTS, or else the checkpoint in OUTPUT_DIR, or else the weights that SEED draws.

    A file or entry says itself what network and what clips it is for; MODEL, CLIP and PRETEXT.TUPLE_LEN follow it. The
    metrics are also written to `evaluation.json`.

    Raises:
        ValueError: as `train`.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TASK.NAME, cfg.TEACHER.WEIGHTS = "pcl", ""  # evaluation needs no teacher
    output_dir = prepare_output(cfg)
    set_up_logging(output_dir)
    own = output_dir / CHECKPOINT_NAME
    source = cfg.MODEL.WEIGHTS or (str(own) if own.exists() else "")
    model = None
    if source:
        model, weights = load_pcl_model(source, zoo_dir=zoo_dir_of(cfg))
        follow_model(cfg, model)
        logger.info("evaluating %s, sha256 %s", source, weights.sha256)
    else:
        logger.info("no weights given, none in %s: evaluating the random weights of SEED %d", output_dir, cfg.SEED)
    validate_config(cfg)
    metrics = _Run(cfg, output_dir, model=model).measure_final(epoch=0)
    write_text(output_dir / "evaluation.json", simplejson.dumps(metrics, indent=2) + "\n")
    return metrics


class _Run:
    """The parts that training and evaluation share: folder, videos, model, evaluator."""

    def __init__(self, cfg: CfgNode, output_dir: Path, *, model: PCLModel | None = None) -> None:
        keep_freed_memory()
        self.cfg = cfg
        self.output_dir = output_dir
        set_up_logging(output_dir)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(cfg.SEED)
        self.model = build_model(cfg, self.device) if model is None else model.to(self.device)
        self.model.to(memory_format=torch.channels_last_3d)
        if model is None and cfg.MODEL.WEIGHTS:
            logger.info("%s", load_pretrained(self.model, cfg.MODEL.WEIGHTS, zoo_dir=zoo_dir_of(cfg)))
        self.tuples: TupleConfig = build_tuple_config(cfg)
        self.train_videos, self.test_videos = load_videos(cfg, "train"), load_videos(cfg, "test")
        self.usable_videos = _usable(self.train_videos, self.tuples)
        self.eval_config = build_eval_config(cfg)

    @cached_property
    def evaluator(self) -> EpochEvaluator:
        """Decodes the evaluation's clips when it is first asked for."""
        return EpochEvaluator(
            self.train_videos,
            self.test_videos,
            tuples=self.tuples,
            config=self.eval_config,
            directory=self.output_dir,
        )

    def build_trainer(
        self, teacher: Model | None, *, checkpoint: dict[str, Any] | None, extra_hooks: Sequence[Hook]
    ) -> Trainer:
        """Task, loader, optimizer and hooks, at the checkpoint's state where there is one."""
        cfg = self.cfg
        task = TASKS.get(cfg.TASK.NAME).from_config(
            cfg, model=self.model, num_videos=len(self.usable_videos), teacher=teacher
        )
        task.to(self.device)
        logger.info("%s", task.describe())
        loader = build_train_loader(cfg, self.usable_videos, tuples=self.tuples, num_negatives=task.num_negatives)
        trainer = Trainer(
            task,
            loader,
            optimizer=build_optimizer(cfg, task.trainable),
            schedule=build_schedule(cfg),
            num_epochs=cfg.SOLVER.EPOCHS,
            device=self.device,
            clip_gradients=cfg.SOLVER.CLIP_GRADIENTS,
        )
        if checkpoint is not None:
            trainer.load_state(checkpoint)
            logger.info("resumed after epoch %d", trainer.epoch)
        evaluator = self.evaluator  # after all that could refuse the run: it decodes for minutes on a big dataset
        trainer.hooks = (
            Evaluation(lambda: evaluator(self.model, self.device), period=cfg.EVAL.PERIOD),
            MetricsWriter(self.output_dir, first_epoch=trainer.epoch),
            # After the metrics: a line without its checkpoint is written again, the other way round it would be lost.
            Checkpointer(self.output_dir, extra={"model": build_model_spec(cfg).to_dict(), "config": cfg.dump()}),
            Progress(cfg.SOLVER.EPOCHS * len(loader), done=trainer.step),
            *extra_hooks,
        )
        return trainer

    def measure_final(self, *, epoch: int) -> dict[str, Any]:
        """Both protocols, on the weights as ZOO.DTYPE will store them."""
        if self.cfg.ZOO.DTYPE == "float16":
            self.model.half().float()
        retrieval = evaluate_retrieval(
            self.model,
            train=self.train_videos,
            test=self.test_videos,
            tuples=self.tuples,
            config=self.eval_config,
            device=self.device,
        )
        measured = {**self.evaluator(self.model, self.device), **retrieval}
        logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in measured.items()))
        return {"epoch": epoch, "final": True, **measured}

    def publish(self, metrics: dict[str, Any], teacher: Weights | None, *, zoo_dir: Path) -> ZooEntry:
        """Writes the trained model into the zoo."""
        cfg = self.cfg
        facts = {
            "metrics": {name: value for name, value in metrics.items() if isinstance(value, float)},
            "protocol": _protocol(cfg),
            "teacher": teacher and {"name": _teacher_name(teacher), "sha256": teacher.sha256},
            "dataset": f"{Path(cfg.DATA.ROOT).name} split {cfg.DATA.SPLIT}, {len(self.usable_videos)} training videos",
            "config": cfg.dump(),
            "source": "trained with kdvideo",
            "licence": cfg.ZOO.LICENCE,
        }
        entry = publish(
            self.model,
            cfg.ZOO.PUBLISH_AS,
            zoo_dir=zoo_dir,
            spec=build_model_spec(cfg),
            facts=facts,
            dtype=getattr(torch, cfg.ZOO.DTYPE),
            replace=cfg.ZOO.REPLACE,
        )
        logger.info("published %s in %s, sha256 %s", entry.name, zoo_dir, entry.sha256)
        return entry


def _load_teacher(cfg: CfgNode, zoo_dir: Path) -> tuple[Model | None, Weights | None]:
    if not cfg.TEACHER.WEIGHTS:
        return None, None
    clip_spec = parse_clip_spec(cfg.TEACHER.CLIP_SPEC) if cfg.TEACHER.CLIP_SPEC else None
    model, weights = load_model(cfg.TEACHER.WEIGHTS, zoo_dir=zoo_dir, clip_spec=clip_spec)
    check_teacher(
        model,
        cfg.TEACHER.LOSSES,
        name=cfg.TEACHER.WEIGHTS,
        num_pretext_classes=PRETEXTS.get(cfg.PRETEXT.NAME).num_classes,
        tuple_len=cfg.PRETEXT.TUPLE_LEN,
        pretext=cfg.PRETEXT.NAME,
    )
    return model.to(memory_format=torch.channels_last_3d), weights


def _usable(videos: VideoList, tuples: TupleConfig) -> VideoList:
    min_frames = tuples.layout.min_frames
    usable = keep_long_enough(videos, min_frames)
    logger.info(
        "%d training videos; %d left out, shorter than the %d frames of a tuple",
        len(usable),
        len(videos) - len(usable),
        min_frames,
    )
    return usable


def _teacher_name(weights: Weights) -> str:
    return weights.entry.name if weights.entry else weights.source


def _protocol(cfg: CfgNode) -> str:
    evaluation = cfg.EVAL
    return (
        f"test list against training list of split {cfg.DATA.SPLIT}, centre crop, weights as stored; pretext_accuracy: "
        f"{evaluation.TUPLES_PER_VIDEO} fixed tuples a test video; retrieval_at_k: mean feature of "
        f"{evaluation.CLIPS_PER_VIDEO} uniform clips, cosine; retrieval_{evaluation.FINAL_CLIPS_PER_VIDEO}clip_at_k: "
        f"of {evaluation.FINAL_CLIPS_PER_VIDEO} uniform clips"
    )
