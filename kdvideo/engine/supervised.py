"""Runs that learn classes: finetuning, and training from scratch."""

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdvideo.data.datasets.records import class_names
from kdvideo.data.labelled import TrainClips
from kdvideo.data.loader import create_loader
from kdvideo.data.samples import UniformClips
from kdvideo.data.videos import VideoList
from kdvideo.engine.build import (
    build_augment_config,
    build_clip_spec,
    build_model_spec,
    load_videos,
    split_training_list,
    warn_of_repeats,
)
from kdvideo.engine.checkpoint import best_weights
from kdvideo.engine.hooks import KeepBest
from kdvideo.engine.run import Run
from kdvideo.engine.trainer import Hook
from kdvideo.evaluation.classify import video_accuracy
from kdvideo.evaluation.clip_outputs import Views, compute_clip_outputs
from kdvideo.evaluation.features import CachedClips, compute_outputs
from kdvideo.evaluation.measure import measure_classes
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
    validation_metric = "validation_accuracy"

    def build_spec(self) -> ModelSpec:
        """A classifier's, for the classes of both lists."""
        self.train_list, self.test_list = load_videos(self.cfg, "train"), load_videos(self.cfg, "test")
        warn_of_repeats(self.train_list, self.test_list)
        classes = [record.class_id for videos in (self.train_list, self.test_list) for record in videos.records]
        labelled = [class_id for class_id in classes if class_id is not None]
        if len(labelled) < len(classes):
            raise ValueError(
                f"TASK.NAME {self.cfg.TASK.NAME} learns classes, but DATA.NAME {self.cfg.DATA.NAME} has videos without "
                "one: choose a labelled dataset, or TASK.NAME pcl"
            )
        names = class_names([*self.train_list.records, *self.test_list.records])
        num_classes = 1 + max(labelled)
        self.class_names = names if len(names) == num_classes else ()
        return build_model_spec(self.cfg, num_classes=num_classes)

    def load_data(self) -> None:
        """What is trained on and what is held out."""
        told_apart, needed = self.model.num_classes, self.spec.head_kwargs["num_classes"]
        if told_apart < needed:
            raise ValueError(
                f"MODEL.WEIGHTS tell {told_apart} classes apart, but DATA.ROOT {self.cfg.DATA.ROOT} has {needed}: "
                "choose weights that were trained on it"
            )
        self.videos, self.held_out = split_training_list(self.cfg, self.train_list)
        logger.info("%d training videos, %d held out", len(self.videos), len(self.held_out))

    @property
    def num_training_videos(self) -> int:
        """Without those held out."""
        return len(self.videos)

    def train_dataset(self, task: Task) -> TrainClips:
        """One clip a video."""
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
        self.validation = self._clips(self.held_out, self.eval_config.clips_per_video) if len(self.held_out) else None

    def selection_hooks(self) -> list[Hook]:
        """Keeps the best epoch on the held-out videos."""
        self.best = KeepBest(self.folder, self.validation_metric, extra=self.describe_model())
        return [self.best] if self.validation is not None else []

    def evaluate_epoch(self) -> Mapping[str, float]:
        """`validation_accuracy` of held-out videos, nothing of the test list."""
        if self.validation is None:
            return {}
        accuracy = video_accuracy(self._logits(self.validation), self.validation.labels)
        return {self.validation_metric: accuracy[1]}

    def measure_final(self, *, epoch: int) -> dict[str, Any]:
        """Video-level accuracy on the test list, of the best epoch."""
        chosen = {"epoch": epoch, "final": True}
        if self.validation is not None and (best := self.best.read()):
            self.model.load_state_dict(best_weights(best))
            chosen |= {"epoch": best["epoch"], self.validation_metric: best["value"]}
        self.round_as_stored()
        views = Views(self.eval_config.final_clips_per_video, self.cfg.DATA.SHORT_SIDE)
        outputs = compute_clip_outputs(
            self.model,
            self.test_list,
            views=views,
            batch_size=self.eval_config.batch_size,
            num_workers=self.eval_config.num_workers,
            device=self.device,
        )
        measured = measure_classes(outputs, views=views).metrics
        logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in {**chosen, **measured}.items()))
        return {**chosen, **measured}

    def protocol(self) -> str:
        """Of the accuracies."""
        cfg = self.cfg
        num_clips = cfg.EVAL.FINAL_CLIPS_PER_VIDEO
        return (
            f"test list of split {cfg.DATA.SPLIT}, centre crop, weights as stored; video_accuracy_{num_clips}clip: "
            f"mean probability of {num_clips} uniform clips a video; clip_accuracy: of each of these; the epoch was "
            f"chosen by {self.validation_metric}, {cfg.EVAL.CLIPS_PER_VIDEO} clips a held-out training video "
            f"(DATA.VALIDATION_SHARE {cfg.DATA.VALIDATION_SHARE:g})"
        )

    def _clips(self, videos: VideoList, num_clips: int) -> CachedClips:
        dataset = UniformClips(
            videos, self.model.backbone.clip_spec, num_clips=num_clips, short_side=self.cfg.DATA.SHORT_SIDE
        )
        loader = create_loader(
            dataset,
            batch_size=max(1, self.eval_config.batch_size // num_clips),
            num_workers=self.eval_config.num_workers,
        )
        return CachedClips(loader, directory=self.folder.path, label="class_id")

    def _logits(self, clips: CachedClips) -> Tensor:
        spec = self.model.backbone.clip_spec
        return compute_outputs(self.model, clips, output=self.model, spec=spec, device=self.device)
