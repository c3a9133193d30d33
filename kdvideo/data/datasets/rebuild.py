"""Rebuilds a subset of UCF101 from a list of file names. Videos cannot be passed on, their names can."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile

from tqdm import tqdm

from kdvideo.data.datasets.records import VideoFinder, check_apart, check_inside, read_lines
from kdvideo.files import file_sha256, write_atomic, write_text
from kdvideo.paths import expand_user, zoo_root
from kdvideo.registry import unknown_name

__all__ = ["SubsetFile", "find_subset_list", "read_subset_list", "rebuild_subset"]

_COLUMNS = ["file", "class_number", "subset", "sha256"]
_NUM_SHOWN = 3


@dataclass(frozen=True)
class SubsetFile:
    """One line of a subset's list.

    Attributes:
        name: as in UCF101's lists, e.g. "Archery/v_Archery_g08_c01.avi".
        class_number: counted from 1, in the subset's own `classInd.txt`.
        subset: "train" or "test".
        sha256: the file's hash, "" if it is not known.
    """

    name: str
    class_number: int
    subset: str
    sha256: str


def find_subset_list(name: str) -> Path:
    """Finds a subset's list by its path or name. Only lists that come with kdvideo have names.

    Raises:
        ValueError: there is no such list.
    """
    folder = zoo_root() / "datasets"
    packaged = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if name in packaged:
        return packaged[name]
    if expand_user(name).is_file():
        return expand_user(name)
    raise unknown_name("subset list", name, packaged)


def read_subset_list(path: Path) -> list[SubsetFile]:
    """Reads a subset's list.

    It is a csv with the columns file, class_number, subset and sha256.

    Raises:
        ValueError: the header is another one, or a line does not fit it.
    """
    reader = csv.DictReader(read_lines(path))
    if reader.fieldnames != _COLUMNS:
        raise ValueError(f"{path} must have the columns {','.join(_COLUMNS)}")
    files = []
    for number, row in enumerate(reader, start=2):
        origin = f"{path} line {number}"
        if not (row["class_number"] or "").isdecimal() or row["subset"] not in ("train", "test"):
            raise ValueError(f"{origin} must have a class number, and train or test as its subset")
        name = check_inside(row["file"], origin=origin)
        files.append(SubsetFile(name, int(row["class_number"]), row["subset"], row["sha256"] or ""))
    return files


def rebuild_subset(source: Path, files: Sequence[SubsetFile], target: Path) -> None:
    """Copies the listed videos out of a copy of UCF101.

    `ucfTrainTestlist` is written beside them. All videos are checked before anything is written. Files that `target`
    already has are not copied again.

    Args:
        source: the folder of UCF101's class folders.
        files: the lines of the subset's list.
        target: a folder apart from `source`.

    Raises:
        ValueError: a video is missing, or is not the one that the list means.
    """
    check_apart(source, target)
    finder = VideoFinder(source)
    found = {file: finder.find(file.name) for file in files}
    _refuse("are not there", [file.name for file, path in found.items() if not path.is_file()], source)
    hashes = {file: file_sha256(path) for file, path in tqdm(found.items(), desc="hashing", disable=None)}
    other = [file.name for file in files if file.sha256 not in ("", hashes[file])]
    _refuse("have another sha256 than the list gives: another copy of UCF101 or damaged", other, source)
    for file in tqdm(files, desc="copying", unit="video", disable=None):
        copy = target / file.name
        if not (copy.is_file() and file_sha256(copy) == hashes[file]):
            write_atomic(copy, partial(copyfile, found[file]))
    _write_lists(target / "ucfTrainTestlist", files)


def _refuse(why: str, names: Sequence[str], source: Path) -> None:
    if names:
        shown = ", ".join(names[:_NUM_SHOWN]) + (", ..." if len(names) > _NUM_SHOWN else "")
        raise ValueError(f"{source}: {len(names)} of the listed videos {why} ({shown})")


def _write_lists(folder: Path, files: Sequence[SubsetFile]) -> None:
    """Writes split 1 in the form of the official lists."""
    train = [f"{file.name} {file.class_number}" for file in files if file.subset == "train"]
    test = [file.name for file in files if file.subset == "test"]
    classes = {file.class_number: file.name.split("/")[0] for file in files}
    numbered = [f"{number} {classes[number]}" for number in sorted(classes)]
    for name, lines in (("trainlist01", train), ("testlist01", test), ("classInd", numbered)):
        write_text(folder / f"{name}.txt", "".join(f"{line}\n" for line in lines))
