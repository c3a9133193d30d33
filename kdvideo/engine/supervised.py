"""Runs that learn classes: finetuning, and training from scratch."""

import logging
from collections.abc import Mapping

from kdvideo.data.labelled import TrainClips
from kdvideo.engine.build import (
    build_augment_config,
    build_clip_spec,
    build_model_spec,
    load_lists,
    split_training_list,
)
from kdvideo.engine.checkpoint import best_weights
from kdvideo.engine.hooks import KeepBest
from kdvideo.engine.run import FinalResult, Run
from kdvideo.engine.trainer import Hook
from kdvideo.evaluation.classify import Classify, HeldOutAccuracy
from kdvideo.evaluation.clip_outputs import Views
from kdvideo.evaluation.protocol import Classes
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import ModelSpec
from kdvideo.tasks.task import Task

__all__ = ["SupervisedRun"]

logger = logging.getLogger("kdvideo")


class SupervisedRun(Run):
    """Trains on labelled clips; looks at held-out training videos while it trains and at the test list once.

    The epoch that is best on the held-out videos is the one that is measured and published. Without held-out videos it
    is the last one.
    """

    model: ClassificationModel
    validation_metric = HeldOutAccuracy.name

    def build_spec(self) -> ModelSpec:
        """Builds a classifier's spec; loads both lists to count the classes."""
        self.lists = load_lists(self.cfg)
        classes = Classes.of([self.lists])
        if classes.number is None:
            raise ValueError(
                f"TASK.NAME {self.cfg.TASK.NAME} learns classes, but DATA.NAME {self.cfg.DATA.NAME} has videos without "
                "one: choose a labelled dataset, or TASK.NAME pcl"
            )
        self.class_names = classes.names if len(classes.names) == classes.number else ()
        return build_model_spec(self.cfg, num_classes=classes.number)

    def load_data(self) -> None:
        """Splits the training list into trained and held-out videos."""
        told_apart, needed = self.model.num_classes, self.spec.head_kwargs["num_classes"]
        if told_apart < needed:
            raise ValueError(
                f"MODEL.WEIGHTS tell {told_apart} classes apart, but DATA.ROOT {self.cfg.DATA.ROOT} has {needed}: "
                "choose weights that were trained on it"
            )
        self.videos, self.held_out = split_training_list(self.cfg, self.lists.train)
        logger.info("%d training videos, %d held out", len(self.videos), len(self.held_out))

    @property
    def num_training_videos(self) -> int:
        """How many videos are not held out."""
        return len(self.videos)

    def train_dataset(self, task: Task) -> TrainClips:
        """Builds the samples: one clip per video."""
        cfg = self.cfg
        return TrainClips(
            self.videos,
            build_clip_spec(cfg),
            augment=build_augment_config(cfg),
            short_side=cfg.DATA.SHORT_SIDE,
            seed=cfg.SEED,
            augment_on=cfg.DATA.AUGMENT_ON,
        )

    def prepare_evaluation(self) -> None:
        """Decodes the clips of the held-out videos."""
        config = self.eval_config
        self.validation = None
        if len(self.held_out):
            self.validation = HeldOutAccuracy(
                self.held_out,
                self.model,
                views=Views(config.clips_per_video, self.cfg.DATA.SHORT_SIDE),
                batch_size=config.batch_size,
                num_workers=config.num_workers,
                directory=self.folder.path,
            )

    def selection_hooks(self) -> list[Hook]:
        """Keeps the best epoch on the held-out videos."""
        self.best = KeepBest(self.folder, self.validation_metric, extra=self.describe_model())
        return [self.best] if self.validation is not None else []

    def evaluate_epoch(self) -> Mapping[str, float]:
        """Measures `validation_accuracy` of held-out videos, and nothing of the test list."""
        return {} if self.validation is None else self.validation(self.model, self.device)

    def measure_final(self, *, epoch: int) -> FinalResult:
        """Measures video-level accuracy of the best epoch on the test list."""
        chosen_by, words = {}, ""
        if self.validation is not None and (best := self.best.read()):
            self.model.load_state_dict(best_weights(best))
            epoch, chosen_by = best["epoch"], {self.validation_metric: best["value"]}
            share = self.cfg.DATA.VALIDATION_SHARE
            words = f"the epoch was chosen by {self.validation.words} (DATA.VALIDATION_SHARE {share:g})"
        self.round_as_stored()
        evaluation = self.evaluate([self.lists], [Classify()])
        return self.final_result(evaluation, epoch=epoch, chosen_by=chosen_by, words=words)
