"""Datasets as lists of videos: UCF101's folders and official list files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from kdvideo.data.decode import count_frames
from kdvideo.registry import DATASETS

__all__ = ["Subset", "VideoRecord", "count_all_frames", "ucf101"]

Subset = Literal["train", "test"]


@dataclass(frozen=True)
class VideoRecord:
    """One video of a list.

    Attributes:
        path: the file.
        name: its line in the list, e.g. "Archery/v_Archery_g08_c01.avi".
        class_id: counted from 0.
    """

    path: Path
    name: str
    class_id: int


@DATASETS.register()
def ucf101(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """UCF101 as its authors publish it: `root/Class/v_Class_gXX_cYY.avi`, lists in `ucfTrainTestlist`.

    Args:
        root: the folder of the class folders.
        list_dir: holds `classInd.txt` and `trainlist0N.txt` / `testlist0N.txt`; `root/ucfTrainTestlist` unless given.
        split: N, 1 to 3.
        subset: which list.

    Raises:
        ValueError: a folder or list is missing, or a list names a video or class that is not there.
    """
    if not root.is_dir():
        raise ValueError(f"DATA.ROOT {root} is not a folder: give the folder that holds the class folders")
    if not any(root.iterdir()):
        raise ValueError(f"DATA.ROOT {root} is empty: it must hold class folders with videos and ucfTrainTestlist/")
    list_dir = list_dir or root / "ucfTrainTestlist"
    class_ids = _read_class_ids(list_dir / "classInd.txt")
    list_file = list_dir / f"{subset}list{split:02d}.txt"
    records = []
    for number, line in enumerate(_read_lines(list_file), start=1):
        name = line.split()[0]  # training lines carry the class id behind the name
        class_name = name.split("/")[0]
        if class_name not in class_ids:
            raise ValueError(f"{list_file} line {number} names class {class_name!r}, which is not in classInd.txt")
        path = root / name
        if not path.is_file():
            raise ValueError(f"{list_file} line {number} names {name}, which is not in DATA.ROOT {root}")
        records.append(VideoRecord(path=path, name=name, class_id=class_ids[class_name]))
    return records


def count_all_frames(records: list[VideoRecord], *, num_threads: int) -> list[int]:
    """The frames of every video, decoded once; PyAV works outside Python's lock.

    Raises:
        ValueError: a video that gives no frame.
    """
    with ThreadPoolExecutor(max_workers=num_threads) as pool:
        counts = pool.map(count_frames, (record.path for record in records))
        return list(tqdm(counts, total=len(records), desc="counting frames", unit="video", leave=False, disable=None))


def _read_class_ids(path: Path) -> dict[str, int]:
    """Class name -> id counted from 0; a line is `NUMBER NAME`."""
    class_ids = {}
    for line in _read_lines(path):
        number, _, name = line.partition(" ")
        if not (number.isdecimal() and name):
            raise ValueError(f"{path} has the line {line!r}; it must be a number from 1 and a class name")
        class_ids[name.strip()] = int(number) - 1
    return class_ids


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"list file {path} does not exist: set DATA.LIST_DIR to the folder of the official lists")
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"list file {path} names no video")
    return lines
