"""Datasets without lists: a folder a class, or a folder of videos without labels."""

from pathlib import Path, PurePosixPath

from kdvideo.data.datasets.records import Subset, VideoRecord, check_only_split, check_root, find_videos, held_out
from kdvideo.registry import DATASETS

__all__ = ["class_folders", "unlabelled"]

_TEST_FOLDERS = ("test", "val", "validation")


@DATASETS.register()
def class_folders(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """A folder a class: `root/train/CLASS/...` and `root/test/CLASS/...` (or `val`), or just `root/CLASS/...`.

    Without a folder `train`, a tenth of each class's videos is held out for testing, chosen by the hash of their names.
    Class ids count the training classes in alphabetical order.

    Args:
        root: as above.
        list_dir: not used.
        split: 1.
        subset: which part.

    Raises:
        ValueError: no folder, no video, or a class without training videos.
    """
    check_only_split(split, "class_folders")
    if (check_root(root) / "train").is_dir():
        train, test = _videos_by_class(root, "train"), _videos_by_class(root, _test_folder(root))
    else:
        everything = _videos_by_class(root, "")
        apart = {name: held_out(videos) for name, videos in everything.items()}
        train = {name: [video for video in videos if video not in apart[name]] for name, videos in everything.items()}
        test = {name: [video for video in videos if video in apart[name]] for name, videos in everything.items()}
    class_ids = {name: i for i, name in enumerate(sorted(train))}
    unknown = sorted(set(test) - set(class_ids))
    if unknown:
        raise ValueError(f"DATA.ROOT {root} has no training videos of the test class {unknown[0]!r}")
    chosen = train if subset == "train" else test
    return [
        VideoRecord(path=root / video, name=video, class_id=class_ids[name], class_name=name)
        for name, videos in sorted(chosen.items())
        for video in videos
    ]


@DATASETS.register()
def unlabelled(root: Path, list_dir: Path | None = None, *, split: int, subset: Subset) -> list[VideoRecord]:
    """Every video below a folder, without labels, for pretraining.

    A tenth, chosen by the hash of the names, is held out to measure pretext accuracy on. Retrieval needs classes and is
    left out.

    Args:
        root: the folder.
        list_dir: not used.
        split: 1.
        subset: which part.

    Raises:
        ValueError: no folder, or fewer than two videos.
    """
    check_only_split(split, "unlabelled")
    names = find_videos(check_root(root))
    if len(names) < 2:
        raise ValueError(f"DATA.ROOT {root} has {len(names)} videos; it takes two, one to train and one to test on")
    apart = held_out(names)
    return [
        VideoRecord(path=root / name, name=name, class_id=None)
        for name in names
        if (name in apart) == (subset == "test")
    ]


def _videos_by_class(root: Path, folder: str) -> dict[str, list[str]]:
    """Class name -> videos, relative to `root`, of the class folders in `root/folder`."""
    by_class: dict[str, list[str]] = {}
    for name in find_videos(root / folder):
        class_name, _, rest = name.partition("/")
        if rest:  # a video beside the class folders has no class
            by_class.setdefault(class_name, []).append(str(PurePosixPath(folder, name)))
    if not by_class:
        raise ValueError(f"DATA.ROOT {root / folder} has no class folders with videos in them: CLASS/video.mp4")
    return by_class


def _test_folder(root: Path) -> str:
    for name in _TEST_FOLDERS:
        if (root / name).is_dir():
            return name
    raise ValueError(f"DATA.ROOT {root} has a folder train but none of {', '.join(_TEST_FOLDERS)}")
