"""`kdvideo embed` on every odd file: a row with a feature or with a reason each."""

from pathlib import Path

import pytest
from pyarrow import parquet

from kdvideo.cli import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("folder", ["format-samples", "weird"])
def test_a_row_or_a_reason_each(real_data: Path, tmp_path: Path, folder: str, capsys: pytest.CaptureFixture):
    """The table has all videos; `predict` with it as gallery answers each or gives the same reason, in one line."""
    gallery = tmp_path / "f.parquet"
    assert main(["embed", str(real_data / folder), "--out", str(gallery), "--workers", "1"]) == 0
    capsys.readouterr()
    rows = {row["video"]: row for row in parquet.read_table(gallery).to_pylist()}
    assert len(rows) > 20
    assert all((row["feature"] is None) != (row["problem"] is None) for row in rows.values())
    main(["predict", str(real_data / folder), "--gallery", str(gallery), "--top", "1"])
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert len(lines) == len(rows)
    for line, (name, row) in zip(lines, sorted(rows.items()), strict=True):
        _, _, answer = line.partition(f"{name}: ")
        # Itself, or another one with the same feature: a single frame has an empty residual, whatever it shows.
        assert answer == row["problem"] if row["problem"] else answer.endswith("  1.000")
    print(folder, len(rows), "videos,", sum(row["problem"] is not None for row in rows.values()), "with a reason")
