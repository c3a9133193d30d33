"""HMDB51: class folders and the three official splits."""

from pathlib import Path

from kdvideo.data.datasets.records import Subset, VideoFinder, VideoRecord, check_inside, read_lines
from kdvideo.names import name_as_text
from kdvideo.registry import DATASETS

__all__ = ["hmdb51", "read_hmdb51_lists"]

_MARKS = {"0": None, "1": "train", "2": "test"}  # 0: in neither list of this split


@DATASETS.register()
def hmdb51(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists HMDB51 as its authors publish it.

    Unpacked, it has videos `root/class/NAME.avi` and one list per class and split.

    Args:
        root: the folder of the class folders.
        list_dir: holds `CLASS_test_splitN.txt`. Defaults to `root/testTrainMulti_7030_splits`.
        split: N, from 1 to 3.
        subset: which of the lists' marks.

    Raises:
        ValueError: a folder is missing, there are no lists of this split, or a line has no mark.
    """
    finder = VideoFinder(root)
    listed = read_hmdb51_lists(list_dir or root / "testTrainMulti_7030_splits", split=split, subset=subset)
    return [
        VideoRecord(path=finder.find(name), name=name, class_id=class_id, class_name=name_as_text(name.split("/")[0]))
        for name, class_id in listed
    ]


def read_hmdb51_lists(list_dir: Path, *, split: int, subset: Subset) -> list[tuple[str, int]]:
    """Reads the names and class ids of a split's lists.

    No video is looked for. Class ids count the classes in alphabetical order.

    Raises:
        ValueError: there are no lists of this split, or a line has no mark.
    """
    ending = f"_test_split{split}.txt"
    files = {file.name.removesuffix(ending): file for file in list_dir.glob(f"[!.]*{ending}")}
    if not files:
        raise ValueError(
            f"{list_dir} has no lists CLASS{ending}: set `list_dir` to the folder testTrainMulti_7030_splits"
        )
    listed = []
    for class_id, class_name in enumerate(sorted(files)):  # sorted file names would put climb_stairs before climb
        file = files[class_name]
        for number, line in enumerate(read_lines(file), start=1):
            name, _, mark = line.rpartition(" ")
            if mark not in _MARKS:
                raise ValueError(f"{file} line {number} is {line!r}; it must be a file name and a mark 0, 1 or 2")
            if _MARKS[mark] == subset:
                name = check_inside(name.strip(), origin=f"{file} line {number}")
                listed.append((f"{class_name}/{name}", class_id))
    return listed
