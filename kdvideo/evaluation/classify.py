"""Classification of videos: the mean over uniform clips of what a classifier says of each."""

from collections.abc import Sequence

from torch import Tensor

__all__ = ["clip_accuracy", "video_accuracy"]


def video_accuracy(logits: Tensor, classes: Tensor, *, ks: Sequence[int] = (1,)) -> dict[int, float]:
    """Share of videos whose class is among the k of the highest mean probability over their clips.

    Args:
        logits: `[V, S, K]` of S clips a video.
        classes: `[V]`.
        ks: values of k; those above K mean all classes.

    Returns:
        k -> share in [0, 1].
    """
    probabilities = logits.softmax(dim=-1).mean(dim=1)
    best = probabilities.topk(min(max(ks), probabilities.shape[1]), dim=1).indices
    hits = best == classes[:, None]
    return {k: hits[:, :k].any(dim=1).float().mean().item() for k in ks}


def clip_accuracy(logits: Tensor, classes: Tensor) -> float:
    """Share of clips whose most probable class is their video's: `[V, S, K]` and `[V]` -> [0, 1]."""
    return (logits.argmax(dim=-1) == classes[:, None]).float().mean().item()
