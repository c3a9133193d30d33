"""What a trained network is worth."""

from kdvideo.evaluation.metrics import majority_share, retrieval_at_k, video_features
from kdvideo.evaluation.protocols import EpochEvaluator, EvalConfig, evaluate_retrieval

__all__ = [
    "EpochEvaluator",
    "EvalConfig",
    "evaluate_retrieval",
    "majority_share",
    "retrieval_at_k",
    "video_features",
]
