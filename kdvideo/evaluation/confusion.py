"""Counts which classes a network confuses with each other."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from kdvideo.extras import extra_imports
from kdvideo.files import write_atomic

__all__ = ["count_confusions", "write_confusions"]


def count_confusions(classes: Tensor, predicted: Tensor, *, num_classes: int) -> np.ndarray:
    """Counts the predicted classes of each true class: `[V]` and `[V]` -> `[C, C]`, one row per true class."""
    with extra_imports():  # imported here, because scikit-learn takes seconds to import
        from sklearn.metrics import confusion_matrix
    return confusion_matrix(classes.numpy(), predicted.numpy(), labels=range(num_classes))


def write_confusions(path: Path, counts: np.ndarray, names: Sequence[str]) -> None:
    """Writes the counts as a CSV table with one line per true class.

    Args:
        path: path of the file.
        counts: number of videos, `[C, C]`.
        names: names of the C classes.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["true class", *names])
            writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))

    write_atomic(path, write)
