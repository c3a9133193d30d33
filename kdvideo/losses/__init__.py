"""Losses, each with its paper and a slow reference in the tests."""

from kdvideo.losses.contrast import ContrastiveLoss, NoContrast
from kdvideo.losses.distill import (
    DistillationLoss,
    EmbeddingDistillation,
    LogitDistillation,
    SimilarityDistillation,
)
from kdvideo.losses.nce import BankNCE, BatchNCE, MemoryBank
from kdvideo.losses.queue import Queue, QueueNCE

__all__ = [
    "BankNCE",
    "BatchNCE",
    "ContrastiveLoss",
    "DistillationLoss",
    "EmbeddingDistillation",
    "LogitDistillation",
    "MemoryBank",
    "NoContrast",
    "Queue",
    "QueueNCE",
    "SimilarityDistillation",
]
