"""Runs that learn without labels: PCL, and PCL with a teacher."""

import logging
from collections.abc import Mapping
from typing import Any

from kdvideo.data.samples import TrainTuples
from kdvideo.data.taught import TaughtTuples
from kdvideo.data.videos import VideoList, keep_long_enough
from kdvideo.engine.build import build_model_spec, build_tuple_config, load_videos, split_training_list, warn_of_repeats
from kdvideo.engine.precision import AMP_DTYPES, prepare_frozen
from kdvideo.engine.run import Run
from kdvideo.engine.tuple_evaluation import TupleEvaluation
from kdvideo.evaluation.protocols import evaluate_retrieval
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
        """A `PCLModel`'s."""
        return build_model_spec(self.cfg)

    def load_data(self) -> None:
        """Both lists, and of the training list what is long enough for tuples."""
        self.tuples = build_tuple_config(self.cfg)
        self.train_list, self.test_list = load_videos(self.cfg, "train"), load_videos(self.cfg, "test")
        warn_of_repeats(self.train_list, self.test_list)
        chosen, _ = split_training_list(self.cfg, self.train_list)
        self.videos = self._long_enough(chosen)

    @property
    def num_training_videos(self) -> int:
        """Those with room for a tuple."""
        return len(self.videos)

    def train_dataset(self, task: Task) -> TrainTuples:
        """Tuples with as many negatives as the task asks for, and the teacher's own frames where it takes such."""
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
        self.evaluate = TupleEvaluation(
            self.cfg, train=self.train_list, test=self.test_list, directory=self.folder.path
        )

    def evaluate_epoch(self) -> Mapping[str, float]:
        """Pretext accuracy and retrieval on the test list, and again as `validation_*` on what is held out."""
        if self.cfg.EVAL.AMP == "fp32":
            return self.evaluate(self.model, self.device)
        copy = self.spec.build().to(self.device)
        assert isinstance(copy, PCLModel)
        copy.load_state_dict(self.model.state_dict())
        prepare_frozen(copy, AMP_DTYPES[self.cfg.EVAL.AMP])
        return self.evaluate(copy, self.device)

    def measure_final(self, *, epoch: int) -> dict[str, Any]:
        """Both protocols."""
        self.round_as_stored()
        retrieval = evaluate_retrieval(
            self.model,
            train=self.train_list,
            test=self.test_list,
            tuples=self.tuples,
            config=self.eval_config,
            device=self.device,
        )
        measured = {**self.evaluate(self.model, self.device), **retrieval}
        logger.info("final  %s", "  ".join(f"{name} {value:.3f}" for name, value in measured.items()))
        return {"epoch": epoch, "final": True, **measured}

    def protocol(self) -> str:
        """Of pretext accuracy and retrieval."""
        evaluation, split = self.cfg.EVAL, self.cfg.DATA.SPLIT
        num_clips = evaluation.FINAL_CLIPS_PER_VIDEO
        return (
            f"test list against training list of split {split}, centre crop, weights as stored; pretext_accuracy: "
            f"{evaluation.TUPLES_PER_VIDEO} fixed tuples a test video; retrieval_at_k: mean feature of "
            f"{evaluation.CLIPS_PER_VIDEO} uniform clips, cosine; retrieval_{num_clips}clip_at_k: of {num_clips}"
        )

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
