"""Retrieval: checks whether one of the nearest training videos has a test video's class."""

from kdvideo.evaluation.metrics import Metric, retrieval_at_k
from kdvideo.evaluation.protocol import Measurement, Protocol, Subject

__all__ = ["RETRIEVAL_KS", "Retrieval"]

RETRIEVAL_KS = (1, 5, 10, 20, 50)


class Retrieval(Protocol):
    """Retrieval by the cosine of mean features."""

    name = "retrieval"

    def measure(self, subject: Subject) -> Measurement:
        """Measures `retrieval_10clip_at_1`, `_5`, `_10`, `_20` and `_50`. The names contain the number of clips."""
        test, train, views = subject.test, subject.train, subject.views
        shares = retrieval_at_k(
            test.video_features,
            train.video_features,
            query_classes=test.classes,
            gallery_classes=train.classes,
            ks=RETRIEVAL_KS,
        )
        return Measurement(
            self.name,
            [Metric(f"retrieval_{views.name}_at_{k}", share, len(test.records)) for k, share in shares.items()],
            words=f"retrieval_{views.name}_at_k: any of the k nearest training videos, mean feature of {views.words}, "
            "cosine",
        )
