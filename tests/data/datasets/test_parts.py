"""Folders called train and test: parts of a dataset, or classes; never guessed silently."""

from pathlib import Path

import pytest
from empty_files import touch

from kdvideo.data.datasets.folders import class_folders


def read(root: Path, subset: str) -> list[tuple[str, int, str]]:
    return [(r.name, r.class_id, r.class_name) for r in class_folders(root, None, split=1, subset=subset)]


def videos(*classes: str) -> list[str]:
    return [f"{name}/{i}.avi" for name in classes for i in range(2)]


@pytest.mark.parametrize("name", ["train", "Train", "test", "val", "training"])
def test_a_class_called_like_a_part(tmp_path: Path, name: str):
    """Its videos lie directly in its folder, beside two other classes."""
    touch(tmp_path, *videos("bus", "car", name))
    found = [*read(tmp_path, "train"), *read(tmp_path, "test")]
    classes = sorted(("bus", "car", name))
    assert sorted(found) == sorted((f"{c}/{i}.avi", classes.index(c), c) for c in classes for i in range(2))


def test_train_and_test_as_classes(tmp_path: Path):
    """Both at once."""
    touch(tmp_path, *videos("bus", "car", "test", "train"))
    assert {name for _, _, name in read(tmp_path, "train")} == {"bus", "car", "test", "train"}


@pytest.mark.parametrize("names", [("Train", "Test"), ("TRAIN", "Val"), ("training", "validation"), ("train", "valid")])
def test_parts_in_any_case(tmp_path: Path, names: tuple[str, str]):
    """They are no classes "Test" and "Train"."""
    train, test = names
    touch(tmp_path, f"{train}/a/1.avi", f"{train}/b/2.avi", f"{test}/b/3.avi")
    assert read(tmp_path, "train") == [(f"{train}/a/1.avi", 0, "a"), (f"{train}/b/2.avi", 1, "b")]
    assert read(tmp_path, "test") == [(f"{test}/b/3.avi", 1, "b")]


def test_a_test_folder_without_classes_beside_val(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """As Kinetics has it: val is used, the videos without labels are counted."""
    touch(tmp_path, "train/a/1.avi", "val/a/2.avi", "test/3.avi", "test/4.avi")
    assert read(tmp_path, "test") == [("val/a/2.avi", 0, "a")]
    assert f"{tmp_path}: 2 videos lie in no class folder and are left out; the first is test/3.avi" in caplog.text


def test_test_comes_before_val(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Where both have classes; no warning of the usual three parts."""
    touch(tmp_path, "train/a/1.avi", "val/a/2.avi", "test/a/3.avi")
    assert read(tmp_path, "test") == [("test/a/3.avi", 0, "a")]
    assert not caplog.records


def test_other_folders_beside_the_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Counted, as are videos that lie beside the class folders."""
    touch(tmp_path, "train/a/1.avi", "train/2.avi", "test/a/3.avi", "extra/b/4.avi", "5.avi")
    assert read(tmp_path, "train") == [("train/a/1.avi", 0, "a")]
    assert "3 videos lie in no class folder and are left out; the first is 5.avi" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/camA/1.avi", *videos("bus", "car")], "has a folder train but none of test, val, validation"),
        (["train/1.avi", *videos("bus")], r"train has no class folders with videos in them: a class of this name"),
        (["train/1.avi", "test/2.avi"], r"train has no class folders with videos in them: a class of this name"),
        (["train/a/1.avi", "test/2.avi"], "has a folder train but none of test, val, validation"),
        (["test/a/1.avi", *videos("bus", "car")], "has a folder test but none called train: a class of this name"),
        (["val/a/1.avi", "val/b/2.avi"], "has a folder val but none called train"),
        (["learn/a/1.avi", "test/a/2.avi"], "has a folder test but none called train"),
    ],
)
def test_what_may_be_either_is_refused(tmp_path: Path, names: list[str], message: str):
    """With the rule in the message."""
    touch(tmp_path, *names)
    for subset in ("train", "test"):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, subset)


def test_classes_that_share_their_videos_by_links(tmp_path: Path):
    """A class that is linked into another one keeps its videos, and a link to the whole is not followed."""
    touch(tmp_path, *videos("a", "b"))
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    found = [*read(tmp_path, "train"), *read(tmp_path, "test")]
    assert {name for name, _, class_name in found if class_name == "b"} == {"b/0.avi", "b/1.avi"}
    assert {name for name, _, class_name in found if class_name == "a"} == {
        "a/0.avi",
        "a/1.avi",
        "a/b/0.avi",
        "a/b/1.avi",
    }
