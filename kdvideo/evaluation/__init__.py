"""Measures trained networks: `evaluate` does it, and each protocol has a file of its own."""

from kdvideo.evaluation.classify import Classify
from kdvideo.evaluation.clip_outputs import Views
from kdvideo.evaluation.evaluate import evaluate
from kdvideo.evaluation.knn import KNN
from kdvideo.evaluation.linear_probe import LinearProbe
from kdvideo.evaluation.metrics import Metric, majority_share, parse_metric, retrieval_at_k, video_features
from kdvideo.evaluation.pretext import EvalConfig, PretextProtocol
from kdvideo.evaluation.protocol import Lists, Protocol
from kdvideo.evaluation.result import Evaluation
from kdvideo.evaluation.retrieval import Retrieval

__all__ = [
    "KNN",
    "Classify",
    "EvalConfig",
    "Evaluation",
    "LinearProbe",
    "Lists",
    "Metric",
    "PretextProtocol",
    "Protocol",
    "Retrieval",
    "Views",
    "evaluate",
    "majority_share",
    "parse_metric",
    "retrieval_at_k",
    "video_features",
]
