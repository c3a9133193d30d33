"""Runs that learn without labels: PCL, and PCL with a teacher."""

import logging
from collections.abc import Mapping
from typing import Any

from kdvideo.data.samples import TrainTuples
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.engine.build import build_model_spec, build_tuple_config, load_lists, split_training_list
from kdvideo.engine.precision import AMP_DTYPES, prepare_frozen
from kdvideo.engine.run import FinalResult, Run
from kdvideo.evaluation.choice import choose_protocols
from kdvideo.evaluation.pretext import PretextProtocol
from kdvideo.evaluation.protocol import Classes
from kdvideo.evaluation.retrieval import Retrieval
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import ModelSpec
from kdvideo.tasks.task import Task

__all__ = ["PretrainingRun"]

logger = logging.getLogger("kdvideo")


class PretrainingRun(Run):
    """Trains on tuples; measures pretext accuracy and retrieval on the test list, its gallery the training list."""

    model: PCLModel
    validation_metric = "validation_pretext_accuracy"

    def build_spec(self) -> ModelSpec:
        """Builds the spec of a `PCLModel`."""
        return build_model_spec(self.cfg)

    def load_data(self) -> None:
        """Loads both lists, and keeps training videos long enough for tuples."""
        self.tuples = build_tuple_config(self.cfg)
        self.lists = load_lists(self.cfg)
        chosen, _ = split_training_list(self.cfg, self.lists.train)
        self.videos = self._long_enough(chosen)

    @property
    def num_training_videos(self) -> int:
        """Those with room for a tuple."""
        return len(self.videos)

    def train_dataset(self, task: Task) -> TrainTuples:
        """Builds tuples with the task's negatives and, if needed, the teacher's frames."""
        options: dict[str, Any] = {
            "seed": self.cfg.SEED,
            "num_negatives": task.num_negatives,
            "augment_on": self.cfg.DATA.AUGMENT_ON,
        }
        if task.teacher_clip_spec is None:
            return TrainTuples(self.videos, self.tuples, **options)
        return TaughtTuples(self.videos, self.tuples, teacher=task.teacher_clip_spec, **options)

    def prepare_evaluation(self) -> None:
        """Decodes the fixed tuples and clips."""
        self.pretext = PretextProtocol(self.tuples, config=self.eval_config, directory=self.folder.path)
        self.pretext.prepare(self.lists)

    def evaluate_epoch(self) -> Mapping[str, float]:
        """Measures pretext accuracy and retrieval on the test list, and as `validation_*` on what is held out."""
        return self.evaluate([self.lists], [self.pretext], model=self._evaluated_copy()).metrics

    def measure_final(self, *, epoch: int) -> FinalResult:
        """Measures the pretext protocol and, where the videos have classes, retrieval from many clips."""
        self.round_as_stored()
        classes = Classes.of([self.lists])
        protocols = choose_protocols([self.pretext, Retrieval()], asked=(), model=self.model, classes=classes)
        return self.final_result(self.evaluate([self.lists], protocols), epoch=epoch)

    def _evaluated_copy(self) -> PCLModel:
        """Returns the model, or a copy in the precision of EVAL.AMP."""
        if self.cfg.EVAL.AMP == "fp32":
            return self.model
        copy = self.spec.build().to(self.device)
        assert isinstance(copy, PCLModel)
        copy.load_state_dict(self.model.state_dict())
        prepare_frozen(copy, AMP_DTYPES[self.cfg.EVAL.AMP])
        return copy

    def _long_enough(self, videos: VideoList) -> VideoList:
        min_frames = self.tuples.layout.min_frames
        usable = keep_long_enough(videos, min_frames)
        logger.info(
            "%d training videos; %d left out, shorter than the %d frames of a tuple",
            len(usable),
            len(videos) - len(usable),
            min_frames,
        )
        return usable
