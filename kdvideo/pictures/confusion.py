"""A confusion matrix as a picture: the predicted classes of each true class."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from kdvideo.pictures.style import style

__all__ = ["draw_confusion", "read_confusion"]

_MOST_COUNTS = 25  # largest number of classes at which a count fits into a cell


def read_confusion(path: Path) -> tuple[np.ndarray, list[str]]:
    """Reads a table of counts with class names around it.

    Returns:
        Counts, int64 `[C, C]`, with one row per true class, and the names.

    Raises:
        ValueError: there is no such file, or it is not such a table.
    """
    hint = "it must be a CSV of counts with the same class names in the first row and column, a row a true class"
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            (_, *names), *rows = [row for row in csv.reader(stream, strict=True) if row]
        counts = np.array([[int(value) for value in row[1:]] for row in rows], dtype=np.int64)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist: {hint}") from None
    except (ValueError, OverflowError, csv.Error) as error:
        raise ValueError(f"{path} is no confusion matrix ({error}): {hint}") from None
    if counts.shape != (len(names), len(names)) or [row[0] for row in rows] != names or (counts < 0).any():
        raise ValueError(f"{path} is no confusion matrix of {len(names)} classes: {hint}")
    if not counts.any():
        raise ValueError(f"{path} counts no video")
    return counts, names


def draw_confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws which share of each true class was predicted as which class.

    If there are few classes, the cells also contain the counts.

    Args:
        counts: number of videos, `[C, C]`, with one row per true class.
        names: names of the C classes.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    right, videos = int(np.trace(counts)), int(totals.sum())
    num_classes = len(names)
    side = max(3.2, min(16.0, 0.5 * num_classes))
    with style():
        figure = Figure(figsize=(side + 2.0, side + 1.2), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        size = min(10, 0.7 * 72 * side / num_classes)  # points; a class has 72 * side / num_classes of them
        axes.set_xticks(range(num_classes), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
        axes.set_yticks(range(num_classes), names, fontsize=size)
        axes.set(xlabel="answered", ylabel="true class")
        axes.set_title(f"{right} of {videos} right: {right / videos:.3f}", loc="left")
        axes.spines[:].set_visible(False)
        for row, column in np.argwhere(counts > 0) if num_classes <= _MOST_COUNTS else ():
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
        figure.colorbar(image, label="share of the true class's videos", shrink=0.8)
    return figure
