"""The two formats of a gallery: a Parquet table for any data tool, and safetensors, which needs no further package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import simplejson
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kdvideo.extras import extra_imports
from kdvideo.files import write_atomic
from kdvideo.foreign import parse_json

__all__ = ["COLUMNS", "StoredGallery", "StoredRow", "check_format", "read_gallery", "read_rows", "write_gallery"]

COLUMNS = ("video", "class", "num_frames", "feature", "problem")
_SUFFIXES = (".parquet", ".safetensors")
_FACTS_KEY, _ROWS_KEY = "kdvideo", "rows"
_MOST_VALUES = 1 << 24
_VALUES_A_BYTE = 16  # real features have half a value per byte, and do not compress


class StoredGallery(NamedTuple):
    """The videos of a file that have a feature. Only the form of the file has been checked.

    Attributes:
        names: the names of the videos.
        class_names: the class of each video.
        features: the feature of each video, `[G, D]`.
        facts: which model made the features, as JSON.
    """

    names: list[Any]
    class_names: list[Any]
    features: Tensor
    facts: str | bytes


class StoredRow(NamedTuple):
    """One video of a file.

    Attributes:
        name: the video's name.
        num_frames: the number of its frames.
        feature: the feature `[D]`. None if there is a problem.
        problem: why there is no feature.
    """

    name: str
    num_frames: int
    feature: Tensor | None
    problem: str | None


def check_format(path: Path) -> None:
    """Checks before hours of work whether a gallery can be written in the format of its name.

    Raises:
        ValueError: the name has another ending.
        MissingExtraError: pyarrow, which a Parquet table needs, is not installed.
    """
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"`path` is {path}; its name must end in .parquet, or in .safetensors, which needs no pyarrow")
    if path.suffix == ".parquet":
        with extra_imports():
            import pyarrow  # noqa: F401


def write_gallery(path: Path, rows: Mapping[str, Sequence[Any]], *, facts: str) -> None:
    """Writes all columns of `rows` atomically.

    Args:
        path: the file. Its name decides the format.
        rows: the values of each column. `feature` is None if there is a `problem`.
        facts: JSON values to store beside the table.
    """
    write = _write_parquet if path.suffix == ".parquet" else _write_safetensors
    write_atomic(path, lambda temporary: write(temporary, rows, facts))


def read_gallery(path: Path) -> StoredGallery:
    """Reads what `write_gallery` wrote.

    Raises:
        ValueError: the file is damaged or is something else.
        KeyError: a column or the facts are missing.
        TypeError: a column holds values of another type.
        MissingExtraError: the file is a Parquet table and pyarrow is not installed.
    """
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_parquet(path)


def _write_parquet(path: Path, rows: Mapping[str, Sequence[Any]], facts: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = (pa.string(), pa.string(), pa.int64(), pa.list_(pa.float32()), pa.string())
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)), metadata={_FACTS_KEY: facts})
    parquet.write_table(pa.table(dict(rows), schema=schema), path)


def _read_parquet(path: Path) -> StoredGallery:
    with extra_imports():
        import pyarrow as pa
        from pyarrow import parquet
    try:
        _check_size(parquet.read_metadata(path), path.stat().st_size)
        table = parquet.read_table(path, columns=list(COLUMNS))
        facts = (table.schema.metadata or {})[_FACTS_KEY.encode()]
        rows = [row for row in table.select(COLUMNS).to_pylist() if row["feature"] is not None]
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    features = torch.tensor([row["feature"] for row in rows])
    return StoredGallery([row["video"] for row in rows], [row["class"] for row in rows], features, facts)


def _check_size(metadata: Any, size: int) -> None:
    """Refuses a few MB of Parquet that unpack to billions of values. No hash protects a gallery."""
    columns = [
        metadata.row_group(group).column(place)
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    ]
    values = sum(column.num_values for column in columns)
    if max(values, metadata.num_rows) > _MOST_VALUES + size * _VALUES_A_BYTE:
        raise ValueError(f"{size} bytes that stand for {values} values")


def _write_safetensors(path: Path, rows: Mapping[str, Sequence[Any]], facts: str) -> None:
    features = torch.tensor([feature for feature in rows["feature"] if feature is not None], dtype=torch.float32)
    columns = {column: list(rows[column]) for column in COLUMNS if column != "feature"}
    path.write_bytes(save({"feature": features}, metadata={_FACTS_KEY: facts, _ROWS_KEY: simplejson.dumps(columns)}))


def read_rows(path: Path) -> tuple[list[StoredRow], str]:
    """Reads all rows of a safetensors gallery, also of videos without a feature, and which model made them, as JSON.

    Raises:
        ValueError: the file is damaged or is something else.
        KeyError: a column or the facts are missing.
        TypeError: a column holds values of another type.
    """
    columns, features, facts = _open_safetensors(path)
    places, rows = iter(features), []
    for name, count, problem in zip(columns["video"], columns["num_frames"], columns["problem"], strict=True):
        rows.append(StoredRow(name, count, next(places) if problem is None else None, problem))
    return rows, facts


def _read_safetensors(path: Path) -> StoredGallery:
    columns, features, facts = _open_safetensors(path)
    kept = [place for place, problem in enumerate(columns["problem"]) if problem is None]
    names, class_names = columns["video"], columns["class"]
    return StoredGallery([names[place] for place in kept], [class_names[place] for place in kept], features, facts)


def _open_safetensors(path: Path) -> tuple[dict[str, Any], Tensor, str]:
    """Returns the columns of a file, as long as each other, the features of those without a problem, and the facts."""
    try:
        with safe_open(path, framework="pt") as file:
            header, features = file.metadata() or {}, file.get_tensor("feature")
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    columns = parse_json(header[_ROWS_KEY])
    problems = columns["problem"]
    lengths = {len(columns[column]) for column in ("video", "class", "problem")}
    kept = problems.count(None)
    if len(lengths) > 1 or kept != len(features) or (kept and features.ndim != 2):
        raise ValueError(f"features {list(features.shape)} of {kept} videos")
    return columns, features, header[_FACTS_KEY]
