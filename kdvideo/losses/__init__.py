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
from kdvideo.losses.relations import DIST, IsotropicMSE, QueueDistillation, StandardisedEmbedding, StandardisedMSE
from kdvideo.losses.tokens import TokenDistillation, TokenMSE, TokenRelations

__all__ = [
    "DIST",
    "BankNCE",
    "BatchNCE",
    "ContrastiveLoss",
    "DistillationLoss",
    "EmbeddingDistillation",
    "IsotropicMSE",
    "LogitDistillation",
    "MemoryBank",
    "NoContrast",
    "Queue",
    "QueueDistillation",
    "QueueNCE",
    "SimilarityDistillation",
    "StandardisedEmbedding",
    "StandardisedMSE",
    "TokenDistillation",
    "TokenMSE",
    "TokenRelations",
]
