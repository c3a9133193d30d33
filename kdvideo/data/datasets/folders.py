"""Datasets without lists: one folder per class, or one folder of videos without labels."""

import logging
from collections.abc import Mapping
from pathlib import Path

from kdvideo.data.datasets.records import Subset, VideoRecord, check_only_split, check_root, held_out
from kdvideo.data.datasets.walk import (
    Below,
    find_videos,
    is_video,
    look_below,
    refuse_unreadable,
    top_level,
    warn_of_skipped,
    warn_once,
)
from kdvideo.names import name_as_text
from kdvideo.registry import DATASETS

__all__ = ["class_folders", "unlabelled"]

logger = logging.getLogger("kdvideo")
_TRAIN_FOLDERS = ("train", "training")
_TEST_FOLDERS = ("test", "val", "validation", "testing", "valid")
_MIN_OTHERS = 2  # other class folders must lie beside a class called train or test
_TO_CLASSES = (
    "a class of this name keeps its videos directly in its folder, beside two other classes; else rename the folder or "
    "use the dataset video_lists"
)


@DATASETS.register()
def class_folders(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists videos in one folder per class.

    The layout is `root/train/CLASS/...` with `root/test/CLASS/...` (or `val`), or just `root/CLASS/...`. Without a
    folder `train`, a tenth of each class's videos is held out for testing, chosen by the hash of their names.

    Class ids count the training classes in alphabetical order. A folder called train, training, test, testing, val,
    valid or validation, in any case, is a class only if its videos lie directly in it and two classes with other
    names lie beside it. Of several test folders the first one with class folders is used: test before val.

    Args:
        root: the folder that is laid out so.
        list_dir: not used.
        split: must be 1.
        subset: which part.

    Raises:
        ValueError: there is no folder or no video, a folder cannot be read, a class has no training videos, or folders
            may be either parts or classes.
    """
    check_only_split(split, "class_folders")
    train, test = _both_parts(check_root(root))
    class_ids = {name: i for i, name in enumerate(sorted(train))}
    unknown = sorted(set(test) - set(class_ids))
    if unknown:
        raise ValueError(f"`root` {root} has no training videos of the test class {unknown[0]!r}")
    chosen = train if subset == "train" else test
    return [
        VideoRecord(path=root / video, name=video, class_id=class_ids[name], class_name=name_as_text(name))
        for name, videos in sorted(chosen.items())
        for video in videos
    ]


@DATASETS.register()
def unlabelled(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Lists every video below a folder, without labels, for pretraining.

    A tenth, chosen by the hash of the names, is held out to measure pretext accuracy. Retrieval needs classes and is
    left out.

    Args:
        root: the folder.
        list_dir: not used.
        split: must be 1.
        subset: which part.

    Raises:
        ValueError: there is no folder, or it has fewer than two videos.
    """
    check_only_split(split, "unlabelled")
    names = find_videos(check_root(root))
    if len(names) < 2:
        raise ValueError(f"`root` {root} has {len(names)} videos; it takes two, one to train and one to test on")
    apart = held_out(names)
    return [
        VideoRecord(path=root / name, name=name, class_id=None)
        for name in names
        if (name in apart) == (subset == "test")
    ]


def _both_parts(root: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Returns the videos to train on and those to test on.

    Each is a dict, class name -> videos relative to `root`.
    """
    names, files = top_level(root)
    folders = {name: look_below(root / name, root=root) for name in names}
    parts = _find_parts(root, folders)
    used = parts or names
    refuse_unreadable([line for name in used for line in folders[name].unreadable])
    warn_of_skipped(root, [f"{name}/{file}" for name in used for file in folders[name].skipped])
    beside = [name for name in files if is_video(name)]
    if parts:
        _warn_of_unused(root, folders, parts, beside)
        train, test = (_videos_by_class(folders[part], part) for part in parts)
        return train, test
    _warn_of_beside(root, beside)
    everything = {
        name: [f"{name}/{video}" for video in below.videos] for name, below in folders.items() if below.videos
    }
    if not everything:
        raise ValueError(f"`root` {root} has no class folders with videos in them: CLASS/video.mp4")
    apart = {name: held_out(videos) for name, videos in everything.items()}
    train = {name: [video for video in videos if video not in apart[name]] for name, videos in everything.items()}
    test = {name: [video for video in videos if video in apart[name]] for name, videos in everything.items()}
    return train, test


def _find_parts(root: Path, folders: Mapping[str, Below]) -> tuple[str, str] | None:
    """Returns training and test folder. None means that all folders are classes."""
    train, tests = _called(folders, _TRAIN_FOLDERS), _called(folders, _TEST_FOLDERS)
    parts = [*train, *tests]
    refuse_unreadable([line for name in parts for line in folders[name].unreadable])
    others = [name for name in folders if name not in parts and (folders[name].videos or folders[name].unreadable)]
    if len(others) >= _MIN_OTHERS and all(_may_be_class(folders[name]) for name in parts):
        return None
    if not train:
        if not any(folders[name].videos for name in tests):
            return None
        raise ValueError(f"`root` {root} has a folder {tests[0]} but none called train: {_TO_CLASSES}")
    with_classes = [name for name in tests if _has_classes(folders[name])]
    if not _has_classes(folders[train[0]]):
        raise ValueError(f"`root` {root / train[0]} has no class folders with videos in them: {_TO_CLASSES}")
    if not with_classes:
        raise ValueError(
            f"`root` {root} has a folder {train[0]} but none of {', '.join(_TEST_FOLDERS)} that has class folders: "
            f"{_TO_CLASSES}"
        )
    return train[0], with_classes[0]


def _called(folders: Mapping[str, Below], names: tuple[str, ...]) -> list[str]:
    """Returns the folders that have one of these names. Case does not count; the order is that of `names`."""
    return [folder for name in names for folder in folders if folder.casefold() == name]


def _has_classes(below: Below) -> bool:
    return any("/" in video for video in below.videos)


def _may_be_class(below: Below) -> bool:
    return bool(below.videos) and not _has_classes(below)


def _videos_by_class(below: Below, part: str) -> dict[str, list[str]]:
    """Groups the videos in `part` by their class folders. Paths are relative to the dataset's folder."""
    by_class: dict[str, list[str]] = {}
    for name in below.videos:
        class_name, _, rest = name.partition("/")
        if rest:  # a video beside the class folders has no class
            by_class.setdefault(class_name, []).append(f"{part}/{name}")
    return by_class


def _warn_of_unused(root: Path, folders: Mapping[str, Below], parts: tuple[str, str], beside: list[str]) -> None:
    """Warns of videos that belong to no class. The docs tell of a second test folder with classes."""
    documented = [name for name in _called(folders, _TEST_FOLDERS) if _has_classes(folders[name])]
    unused = [
        f"{name}/{video}"
        for name, below in folders.items()
        for video in below.videos
        if ("/" not in video if name in parts else name not in documented)
    ]
    _warn_of_beside(root, [*beside, *unused])


def _warn_of_beside(root: Path, videos: list[str]) -> None:
    if videos:
        warn_once(f"{root}: {len(videos)} videos lie in no class folder and are left out; the first is {videos[0]}")
