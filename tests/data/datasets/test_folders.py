"""Folders as datasets."""

from pathlib import Path

import pytest

from kdvideo.data.datasets.folders import class_folders, unlabelled


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("test_folder", ["test", "val", "validation"])
def test_given_parts(tmp_path: Path, test_folder: str):
    """train/CLASS and test/CLASS; deeper folders belong to their class."""
    touch(tmp_path, "train/b/1.mp4", "train/a/deep/2.mp4", f"{test_folder}/b/3.mp4", "train/beside.mp4")
    train, test = (class_folders(tmp_path, None, split=1, subset=subset) for subset in ("train", "test"))
    assert [(r.name, r.class_id) for r in train] == [("train/a/deep/2.mp4", 0), ("train/b/1.mp4", 1)]
    assert [(r.name, r.class_id) for r in test] == [(f"{test_folder}/b/3.mp4", 1)]
    assert all(record.path.is_file() for record in [*train, *test])


def test_a_tenth_is_held_out(tmp_path: Path):
    """Of each class, without a folder train; both parts together are everything."""
    touch(tmp_path, *(f"{name}/{i}.avi" for name in ("a", "b") for i in range(15)), "lonely/0.avi")
    train, test = (class_folders(tmp_path, None, split=1, subset=subset) for subset in ("train", "test"))
    assert [r.class_id for r in test] == [0, 0, 1, 1]
    assert len(train) == 27
    assert len({r.name for r in [*train, *test]}) == 31


def test_folders_that_cannot_be(tmp_path: Path):
    """No classes, no test folder, a test class that nobody trains."""
    touch(tmp_path, "1.mp4")
    with pytest.raises(ValueError, match="has no class folders with videos"):
        class_folders(tmp_path, None, split=1, subset="train")
    touch(tmp_path, "train/a/1.mp4")
    with pytest.raises(ValueError, match="has a folder train but none of test, val, validation"):
        class_folders(tmp_path, None, split=1, subset="train")
    touch(tmp_path, "val/b/1.mp4")
    with pytest.raises(ValueError, match="has no training videos of the test class 'b'"):
        class_folders(tmp_path, None, split=1, subset="test")


def test_unlabelled(tmp_path: Path):
    """Every video once, no class."""
    touch(tmp_path, *(f"{i % 3}/{i}.mp4" for i in range(20)), "3/readme.txt")
    train, test = (unlabelled(tmp_path, None, split=1, subset=subset) for subset in ("train", "test"))
    assert (len(train), len(test)) == (18, 2)
    assert len({record.name for record in [*train, *test]}) == 20
    assert {record.class_id for record in [*train, *test]} == {None}
    with pytest.raises(ValueError, match="has 0 videos; it takes two"):
        unlabelled(touch(tmp_path / "other", "a.txt"), None, split=1, subset="train")
