"""Which classes are taken for which."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix
from torch import Tensor

from kdvideo.files import write_atomic

__all__ = ["count_confusions", "write_confusions"]


def count_confusions(classes: Tensor, predicted: Tensor, *, num_classes: int) -> np.ndarray:
    """How many videos of each class were taken for each: `[V]` and `[V]` -> `[C, C]`, a row a true class."""
    return confusion_matrix(classes.numpy(), predicted.numpy(), labels=range(num_classes))


def write_confusions(path: Path, counts: np.ndarray, names: Sequence[str]) -> None:
    """Writes a CSV table: a line a true class, a column a predicted one.

    Args:
        path: of the file.
        counts: `[C, C]`.
        names: of the C classes.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["true class", *names])
            writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))

    write_atomic(path, write)
