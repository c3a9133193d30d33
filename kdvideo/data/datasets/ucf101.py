"""UCF101: class folders and the three official splits."""

import re
from pathlib import Path

from kdvideo.data.datasets.records import (
    Subset,
    VideoFinder,
    VideoRecord,
    check_class_ids,
    check_inside,
    read_lines,
)
from kdvideo.data.datasets.walk import is_video
from kdvideo.names import name_as_text
from kdvideo.registry import DATASETS

__all__ = ["read_ucf101_list", "ucf101"]


_CLASS_LINE = re.compile(r"0*([1-9][0-9]*)\s+(.+)")  # of classInd.txt
_TRAIN_LINE = re.compile(r"(.+?)\s+[0-9]+")  # a name, then the number of its class


@DATASETS.register()
def ucf101(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists UCF101 as its authors publish it.

    Videos are `root/Class/v_Class_gXX_cYY.avi`, lists lie in `ucfTrainTestlist`. The class HandstandPushups has files
    `v_HandStandPushups_*`, and copies spell either differently, so a missing name is looked for in other case.

    Args:
        root: the folder of the class folders.
        list_dir: holds `classInd.txt` and `trainlist0N.txt` / `testlist0N.txt`. Defaults to `root/ucfTrainTestlist`.
        split: N, from 1 to 3.
        subset: which list.

    Raises:
        ValueError: a folder or list is missing, or a list names a class that is not there.
    """
    finder = VideoFinder(root)
    listed = read_ucf101_list(list_dir or root / "ucfTrainTestlist", split=split, subset=subset)
    return [
        VideoRecord(path=finder.find(name), name=name, class_id=class_id, class_name=name_as_text(name.split("/")[0]))
        for name, class_id in listed
    ]


def read_ucf101_list(list_dir: Path, *, split: int, subset: Subset) -> list[tuple[str, int]]:
    """Reads the names and class ids of an official list.

    Ids count from 0. No video is looked for.

    Raises:
        ValueError: a list is missing, or names a class that is not in `classInd.txt`.
    """
    class_ids = _read_class_ids(list_dir / "classInd.txt")
    list_file = list_dir / f"{subset}list{split:02d}.txt"
    listed = []
    for number, line in enumerate(read_lines(list_file), start=1):
        origin = f"{list_file} line {number}"
        name = check_inside(_listed_name(line), origin=origin)
        class_name = name.split("/")[0]
        if class_name not in class_ids:
            raise ValueError(f"{origin} names class {class_name!r}, which is not in classInd.txt")
        listed.append((name, class_ids[class_name]))
    return listed


def _listed_name(line: str) -> str:
    """Removes the class number at a training line's end. A name may contain blanks."""
    match = _TRAIN_LINE.fullmatch(line)
    return match[1] if match and (is_video(match[1]) or len(match[1].split()) == 1) else line


def _read_class_ids(path: Path) -> dict[str, int]:
    """Reads the id of each class name. Lines are `NUMBER NAME`, and ids count from 0."""
    class_ids: dict[str, int] = {}
    for line in read_lines(path):
        match = _CLASS_LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{path} has the line {line!r}; it must be a number from 1 and a class name")
        number, name = int(match[1]), match[2]
        if name in class_ids or number - 1 in class_ids.values():
            raise ValueError(f"{path} has a number or a name twice: {line!r}")
        class_ids[name] = number - 1
    check_class_ids(class_ids.values(), origin=str(path))
    return class_ids
