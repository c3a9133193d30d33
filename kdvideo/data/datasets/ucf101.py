"""UCF101: class folders and the three official splits."""

from pathlib import Path

from kdvideo.data.datasets.records import Subset, VideoFinder, VideoRecord, check_inside, read_lines
from kdvideo.registry import DATASETS

__all__ = ["read_ucf101_list", "ucf101"]


@DATASETS.register()
def ucf101(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """UCF101 as its authors publish it: `root/Class/v_Class_gXX_cYY.avi`, lists in `ucfTrainTestlist`.

    The class HandstandPushups has files `v_HandStandPushups_*`; copies differ in how they spell either, so a name that
    is not there is looked for in other case.

    Args:
        root: the folder of the class folders.
        list_dir: holds `classInd.txt` and `trainlist0N.txt` / `testlist0N.txt`; `root/ucfTrainTestlist` unless given.
        split: N, 1 to 3.
        subset: which list.

    Raises:
        ValueError: a folder or list is missing, or a list names a class that is not there.
    """
    finder = VideoFinder(root)
    listed = read_ucf101_list(list_dir or root / "ucfTrainTestlist", split=split, subset=subset)
    return [
        VideoRecord(path=finder.find(name), name=name, class_id=class_id, class_name=name.split("/")[0])
        for name, class_id in listed
    ]


def read_ucf101_list(list_dir: Path, *, split: int, subset: Subset) -> list[tuple[str, int]]:
    """The names and class ids, counted from 0, of an official list; no video is looked for.

    Raises:
        ValueError: as `ucf101`.
    """
    class_ids = _read_class_ids(list_dir / "classInd.txt")
    list_file = list_dir / f"{subset}list{split:02d}.txt"
    listed = []
    for number, line in enumerate(read_lines(list_file), start=1):
        origin = f"{list_file} line {number}"
        name = check_inside(line.split()[0], origin=origin)  # training lines carry the class number behind the name
        class_name = name.split("/")[0]
        if class_name not in class_ids:
            raise ValueError(f"{origin} names class {class_name!r}, which is not in classInd.txt")
        listed.append((name, class_ids[class_name]))
    return listed


def _read_class_ids(path: Path) -> dict[str, int]:
    """Class name -> id counted from 0; a line is `NUMBER NAME`."""
    class_ids = {}
    for line in read_lines(path):
        number, _, name = line.partition(" ")
        if not (number.isdecimal() and name):
            raise ValueError(f"{path} has the line {line!r}; it must be a number from 1 and a class name")
        class_ids[name.strip()] = int(number) - 1
    return class_ids
