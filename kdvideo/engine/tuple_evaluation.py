"""What is measured on fixed tuples and cached clips: of the test list, and of what is held out of the training list."""

from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from kdvideo.data.videos import VideoList
from kdvideo.engine.build import build_eval_config, build_tuple_config, split_training_list
from kdvideo.evaluation.protocols import EpochEvaluator
from kdvideo.models.pcl import PCLModel

__all__ = ["TupleEvaluation"]


class TupleEvaluation:
    """Pretext accuracy and retrieval from few clips; with DATA.VALIDATION_SHARE again, as `validation_*`.

    Attributes:
        words: how it measures, for people.

    Args:
        cfg: a valid config.
        train: the training list.
        test: the test list.
        directory: where the caches lie.
    """

    def __init__(self, cfg: CfgNode, *, train: VideoList, test: VideoList, directory: Path) -> None:
        tuples, config = build_tuple_config(cfg), build_eval_config(cfg)
        chosen, held_out = split_training_list(cfg, train)
        pairs = {"": (train, test), **({"validation_": (chosen, held_out)} if len(held_out) else {})}
        self.evaluators = {
            prefix: EpochEvaluator(gallery, queries, tuples=tuples, config=config, directory=directory)
            for prefix, (gallery, queries) in pairs.items()
        }
        self._queries = {prefix: queries for prefix, (_, queries) in pairs.items()}
        self._least = tuples.layout.min_frames
        self.words = (
            f"pretext_accuracy: {config.tuples_per_video} fixed tuples a test video; "
            "retrieval_at_k: any of the k nearest training videos, mean feature of "
            f"{config.clips_per_video} uniform clips, cosine"
        )

    def __call__(self, model: PCLModel, device: torch.device) -> dict[str, float]:
        """The evaluators' metrics, those of held-out videos under `validation_*`."""
        return {
            prefix + name: value
            for prefix, evaluator in self.evaluators.items()
            for name, value in evaluator(model, device).items()
        }

    def num_videos(self, metric: str) -> int:
        """How many videos a metric counts: those with room for a tuple, or for retrieval all."""
        queries = self._queries["validation_" if metric.startswith("validation_") else ""]
        return len(queries) if "retrieval" in metric else sum(frames >= self._least for frames in queries.num_frames)
