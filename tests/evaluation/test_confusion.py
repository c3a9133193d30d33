"""Confusions against a loop, and the table that is written."""

from pathlib import Path

import torch
from pyarrow import csv

from kdvideo.evaluation.confusion import count_confusions, write_confusions


def test_counts_are_the_loop():
    """Row: what a video is; column: what it is taken for. A class without videos has its zeros."""
    generator = torch.Generator().manual_seed(0)
    classes, predicted = (torch.randint(0, 4, (50,), generator=generator) for _ in range(2))
    expected = [[0] * 5 for _ in range(5)]
    for true, taken in zip(classes.tolist(), predicted.tolist(), strict=True):
        expected[true][taken] += 1
    assert count_confusions(classes, predicted, num_classes=5).tolist() == expected


def test_the_table_is_read_back(tmp_path: Path):
    """By any CSV reader, also with a name that has a comma."""
    counts = count_confusions(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]), num_classes=2)
    write_confusions(tmp_path / "confusion.csv", counts, ["Run, fast", "Archery"])
    table = csv.read_csv(tmp_path / "confusion.csv").to_pylist()
    assert table == [
        {"true class": "Run, fast", "Run, fast": 0, "Archery": 1},
        {"true class": "Archery", "Run, fast": 1, "Archery": 1},
    ]
