"""Kinetics-400, -600 and -700: the official csv files, and the part of the videos that somebody has."""

import csv
import logging
from pathlib import Path

from kdvideo.data.datasets.records import Subset, VideoRecord, check_only_split, check_root, find_videos
from kdvideo.registry import DATASETS

__all__ = ["kinetics", "read_kinetics_csv"]

logger = logging.getLogger("kdvideo")
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_FILES = {"train": "*train*.csv", "test": "*val*.csv"}  # test labels are not public: all report on the validation list


@DATASETS.register()
def kinetics(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists the videos of Kinetics that are there.

    Files are named `{youtube_id}_{start:06d}_{end:06d}` and lie anywhere below `root`, in class folders or flat. No
    copy of Kinetics is complete: missing videos are left out and counted in the log.

    Args:
        root: the folder of the videos.
        list_dir: holds the official `train.csv` and `val.csv` (or `validate.csv`). Defaults to `root`.
        split: must be 1.
        subset: "test" is the validation list.

    Raises:
        ValueError: a folder, a csv or a column is missing, or none of the listed videos is there.
    """
    check_only_split(split, "kinetics")
    list_dir = list_dir or check_root(root)
    class_ids = {label: i for i, label in enumerate(sorted({label for _, label in _read(list_dir, "train")}))}
    listed = _read(list_dir, subset)
    there = {Path(name).name.split(".")[0]: name for name in find_videos(check_root(root))}
    unknown = sorted({label for _, label in listed} - set(class_ids))
    if unknown:
        raise ValueError(f"{list_dir}: {len(unknown)} classes of the {subset} list are not in train.csv: {unknown[0]}")
    records = [
        VideoRecord(path=root / there[stem], name=there[stem], class_id=class_ids[label], class_name=label)
        for stem, label in listed
        if stem in there
    ]
    logger.info("kinetics: %d of the %d videos of the %s list are there", len(records), len(listed), subset)
    if not records:
        raise ValueError(
            f"`root` {root} has none of the {len(listed)} videos of the {subset} list: files must be named as "
            f"{listed[0][0]}.mp4"
        )
    return records


def read_kinetics_csv(path: Path) -> list[tuple[str, str]]:
    """Reads file names, without their ending, and labels.

    Args:
        path: an official csv.

    Raises:
        ValueError: the file or a column is missing, or a time is no number.
    """
    if not path.is_file():
        raise ValueError(f"list file {path} does not exist: set `list_dir` to the folder of Kinetics' csv files")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} lacks the columns {', '.join(missing)}: use Kinetics' official csv")
        rows = list(reader)
    listed = []
    for number, row in enumerate(rows, start=2):
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        except (TypeError, ValueError):
            raise ValueError(f"{path} line {number} has a time_start or time_end that is no number") from None
        listed.append((f"{row['youtube_id']}_{start:06d}_{end:06d}", row["label"]))
    return listed


def _read(list_dir: Path, subset: Subset) -> list[tuple[str, str]]:
    pattern = _FILES[subset]
    files = sorted(list_dir.glob(pattern))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise ValueError(f"{list_dir} must hold one file {pattern}, but has {found}: set `list_dir`")
    return read_kinetics_csv(files[0])
