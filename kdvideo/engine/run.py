"""The parts of a run, whatever it trains; what differs is in `pretraining` and `supervised`."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode

from kdvideo.config import plain_config
from kdvideo.data.labelled import TrainClips
from kdvideo.data.samples import TrainTuples
from kdvideo.data.videos import VideoList
from kdvideo.distributed import is_main, world_size
from kdvideo.engine.build import (
    build_batch_transform,
    build_eval_config,
    build_model,
    build_train_loader,
    build_views,
    configured_zoo,
    dataset_name,
    read_clip_spec,
)
from kdvideo.engine.hooks import Checkpointer, EpochEvaluation, MetricsWriter, Progress
from kdvideo.engine.identity import check_same_videos, describe_videos
from kdvideo.engine.memory import use_huge_pages
from kdvideo.engine.optim import build_optimizer, build_schedule
from kdvideo.engine.parallel import synchronise_batch_norm
from kdvideo.engine.precision import AMP_DTYPES, prepare_frozen, prepare_student
from kdvideo.engine.replay import open_replay
from kdvideo.engine.run_folder import RunFolder
from kdvideo.engine.trainer import Hook, StepOptions, Trainer
from kdvideo.errors import naming
from kdvideo.evaluation.evaluate import evaluate
from kdvideo.evaluation.protocol import Lists, Protocol
from kdvideo.evaluation.result import Evaluation
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import Model, ModelSpec, backbone_of
from kdvideo.registry import TASKS
from kdvideo.tasks.task import Task
from kdvideo.zoo.entry import Facts, ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_pretrained
from kdvideo.zoo.publish import publish
from kdvideo.zoo.sources import Weights

__all__ = ["FinalResult", "Run"]

logger = logging.getLogger("kdvideo")


@dataclass(frozen=True)
class FinalResult:
    """What a run measures at its end.

    Attributes:
        line: the last line of `metrics.jsonl`.
        protocol: how its metrics were measured, in words.
    """

    line: dict[str, Any]
    protocol: str


class Run(ABC):
    """Folder, videos, model and evaluation of one run.

    Args:
        cfg: a valid config.
        folder: the run's.
        resumed: whether the weights will come from a checkpoint, so that MODEL.WEIGHTS are not loaded.
    """

    videos: VideoList  # trained on
    validation_metric: str  # what a held-out part of the training list is looked at for
    class_names: Sequence[str] = ()  # of a classifier's outputs, where the dataset names all of them

    def __init__(self, cfg: CfgNode, folder: RunFolder, *, resumed: bool = False) -> None:
        self.cfg = cfg
        self.folder = folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(cfg.SEED)
        self.spec = self.build_spec()
        self.model: Model = build_model(self.spec, self.device).to(memory_format=torch.channels_last_3d)
        if isinstance(self.model, ClassificationModel):
            self.model.class_names = self.class_names
        if cfg.MODEL.WEIGHTS and not resumed:
            self._load_initial_weights()
        self.eval_config = build_eval_config(cfg)
        self.load_data()

    @abstractmethod
    def build_spec(self) -> ModelSpec:
        """Returns what the model is built from."""

    @abstractmethod
    def load_data(self) -> None:
        """Finds the videos; called once the model is known to take their clips."""

    @abstractmethod
    def train_dataset(self, task: Task) -> TrainTuples | TrainClips:
        """Builds the samples that `task` learns from."""

    @abstractmethod
    def evaluate_epoch(self) -> Mapping[str, float]:
        """Measures the current model for an epoch's line."""

    @abstractmethod
    def measure_final(self, *, epoch: int) -> FinalResult:
        """Measures the weights as ZOO.DTYPE will store them."""

    def evaluate(
        self, lists: Sequence[Lists], protocols: Sequence[Protocol], *, model: Model | None = None
    ) -> Evaluation:
        """Measures the run's model, or a copy of it, by `kdvideo.evaluation.evaluate`."""
        return evaluate(
            self.model if model is None else model,
            lists,
            protocols,
            views=build_views(self.cfg),
            batch_size=self.eval_config.batch_size,
            num_workers=self.eval_config.num_workers,
        )

    def final_result(
        self, evaluation: Evaluation, *, epoch: int, chosen_by: Mapping[str, float] | None = None, words: str = ""
    ) -> FinalResult:
        """Logs the final metrics, and puts the run's last line and its protocol together.

        Args:
            evaluation: of the test list.
            epoch: whose weights were measured.
            chosen_by: the metric that chose the epoch; none for the last epoch.
            words: how the epoch was chosen.
        """
        metrics = {**(chosen_by or {}), **evaluation.metrics}
        logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
        protocol = replace(evaluation, dataset=dataset_name(self.cfg)).protocol
        parts = [protocol, "weights as stored", *filter(None, [words])]
        return FinalResult({"epoch": epoch, "final": True, **metrics}, "; ".join(parts))

    def _load_initial_weights(self) -> None:
        """Fills the model with MODEL.WEIGHTS.

        Raises:
            ValueError: they were trained on other input than CLIP makes; says which keys to set.
        """
        cfg, configured = self.cfg, self.spec.clip_spec
        clip_spec = read_clip_spec(cfg, "MODEL")
        with naming(clip_spec="MODEL.CLIP_SPEC"):
            load_pretrained(self.model, cfg.MODEL.WEIGHTS, zoo=configured_zoo(cfg), clip_spec=clip_spec)
        own = backbone_of(self.model).clip_spec
        if own.convention != configured.convention:
            raise ValueError(
                f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} take {own.describe_convention()}, but CLIP makes "
                f"{configured.describe_convention()}: set CLIP.MODALITY {own.modality} CLIP.MEAN '{list(own.mean)}' "
                f"CLIP.STD '{list(own.std)}'; to train them on other input on purpose, write it out in MODEL.CLIP_SPEC"
            )

    def selection_hooks(self) -> list[Hook]:
        """Returns hooks that choose among epochs; by default none."""
        return []

    def build_trainer(
        self,
        teacher: Model | None,
        *,
        teacher_weights: Weights | None = None,
        checkpoint: dict[str, Any] | None,
        extra_hooks: Sequence[Hook],
    ) -> Trainer:
        """Builds the trainer with its hooks, at a checkpoint's state if there is one."""
        cfg = self.cfg
        if teacher is not None:
            folded = prepare_frozen(teacher, AMP_DTYPES[cfg.SOLVER.AMP])
            logger.info("teacher: %d BatchNorms folded into convolutions, %s", folded, cfg.SOLVER.AMP)
        task = self._build_task(teacher, teacher_weights)
        if cfg.SOLVER.SYNC_BN and world_size() > 1:
            synchronise_batch_norm(self.model)
        task.to(self.device)
        use_huge_pages(task)
        prepare_student(backbone_of(self.model), cfg, device=self.device)
        logger.info("%s", task.describe())
        dataset = self.train_dataset(task)
        loader = build_train_loader(cfg, dataset)
        optimizer = build_optimizer(cfg, task.trainable, backbone=backbone_of(self.model))
        trainer = Trainer(
            task,
            loader,
            optimizer=optimizer,
            schedule=build_schedule(cfg, optimizer, metric=self.validation_metric),
            num_epochs=cfg.SOLVER.EPOCHS,
            device=self.device,
            options=StepOptions(
                clip_gradients=cfg.SOLVER.CLIP_GRADIENTS,
                accumulate=cfg.SOLVER.ACCUMULATE,
                scale_loss=cfg.SOLVER.AMP == "fp16",
            ),
            batch_transform=build_batch_transform(cfg, dataset),
        )
        if checkpoint is not None:
            check_same_videos(dataset.videos, checkpoint, dataset=cfg.DATA.NAME)
            trainer.load_state(checkpoint)
            logger.info("resumed after epoch %d and %d steps", trainer.epoch, trainer.epoch_step)
        self.prepare_evaluation()  # after all that could refuse the run: it decodes for minutes on a big dataset
        trainer.hooks = (
            EpochEvaluation(self.evaluate_epoch, period=cfg.EVAL.PERIOD),
            *self.selection_hooks(),
            *(self._writing_hooks(trainer, dataset.videos) if is_main() else ()),
            *extra_hooks,
        )
        return trainer

    def _build_task(self, teacher: Model | None, teacher_weights: Weights | None) -> Task:
        cfg = self.cfg
        options: dict[str, Any] = {}
        if cfg.TEACHER.REPLAY:
            assert teacher is not None, "a config with TEACHER.REPLAY has a teacher"
            assert teacher_weights is not None
            options["replay"] = open_replay(
                cfg, self.videos, teacher=teacher, teacher_sha256=teacher_weights.sha256, device=self.device
            )
        return TASKS.get(cfg.TASK.NAME).from_config(
            cfg, model=self.model, num_videos=self.num_training_videos, teacher=teacher, **options
        )

    def describe_model(self) -> dict[str, Any]:
        """Returns what a file of weights says about its model: `model` and `classes`."""
        return {"model": self.spec.to_dict(), "classes": list(self.class_names)}

    def _writing_hooks(self, trainer: Trainer, videos: VideoList) -> tuple[Hook, ...]:
        cfg = self.cfg
        return (
            MetricsWriter(self.folder, first_epoch=trainer.epoch),
            # After the metrics: a line without its checkpoint is written again, the other way round it would be lost.
            Checkpointer(
                self.folder,
                period=cfg.SOLVER.CHECKPOINT_PERIOD,
                max_to_keep=cfg.SOLVER.CHECKPOINT_MAX_TO_KEEP,
                extra={**self.describe_model(), "config": plain_config(cfg), "videos": describe_videos(videos)},
            ),
            Progress(cfg.SOLVER.EPOCHS * len(trainer.loader), done=trainer.step),
        )

    @property
    @abstractmethod
    def num_training_videos(self) -> int:
        """How many videos are trained on."""

    @abstractmethod
    def prepare_evaluation(self) -> None:
        """Decodes what every evaluation will look at."""

    def round_as_stored(self) -> None:
        """Gives the weights the precision that ZOO.DTYPE will store."""
        if self.cfg.ZOO.DTYPE == "float16":
            self.model.half().float()

    def facts(self, final: FinalResult, teacher: Weights | None) -> Facts:
        """Returns what a zoo entry says of this run, besides what its network tells."""
        cfg = self.cfg
        return Facts(
            metrics={name: value for name, value in final.line.items() if isinstance(value, float)},
            protocol=final.protocol,
            teacher=None if teacher is None else {"name": _name_of(teacher), "sha256": teacher.sha256},
            dataset=f"{Path(cfg.DATA.ROOT).name} split {cfg.DATA.SPLIT}, {self.num_training_videos} training videos",
            config=cfg.dump(),
            source="trained with kdvideo",
            licence=cfg.ZOO.LICENCE,
            classes=list(self.class_names),
        )

    def publish(self, facts: Facts, *, zoo: Zoo) -> ZooEntry:
        """Writes the trained model into the zoo."""
        cfg = self.cfg
        entry = publish(
            self.model,
            cfg.ZOO.PUBLISH_AS,
            zoo=zoo,
            spec=self.spec,
            facts=facts,
            dtype=getattr(torch, cfg.ZOO.DTYPE),
            replace=cfg.ZOO.REPLACE,
        )
        logger.info("published %s in %s, sha256 %s", entry.name, zoo, entry.sha256)
        return entry


def _name_of(weights: Weights) -> str:
    return weights.entry.name if weights.entry else weights.source
