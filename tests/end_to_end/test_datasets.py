"""Training on datasets other than UCF101."""

from pathlib import Path

from kdvideo.config import load_config
from kdvideo.engine.launch import train


def test_pretraining_without_labels(tiny_overrides: list[str], tiny_dataset: Path):
    """Pretext accuracy on the held-out tenth; no retrieval, which needs classes."""
    result = train(load_config(None, [*tiny_overrides, "DATA.NAME", "unlabelled", "SOLVER.EPOCHS", "1"]))
    assert 0 <= result.metrics["pretext_accuracy"] <= 1
    assert not [name for name in result.metrics if "retrieval" in name]
