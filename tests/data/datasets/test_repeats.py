"""Videos that are listed more than once."""

from pathlib import Path

from kdvideo.data.datasets.lists import video_lists
from kdvideo.data.datasets.records import VideoRecord
from kdvideo.data.datasets.repeats import find_repeats


def records(root: Path, *pairs: tuple[str, int]) -> list[VideoRecord]:
    return [VideoRecord(root / name, name, class_id) for name, class_id in pairs]


def test_healthy_lists(tmp_path: Path):
    """Files of one name in different folders are different videos."""
    assert find_repeats(records(tmp_path, ("a/1.avi", 0), ("b/1.avi", 1)), records(tmp_path, ("c/1.avi", 0))) == []
    assert find_repeats([], []) == []


def test_both_lists(tmp_path: Path):
    """Counted, the first three are named; the way to a file does not matter."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "4.avi").touch()
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "link.avi").symlink_to("real/4.avi")
    train = records(tmp_path, *((f"real/{i}.avi", 0) for i in range(5)))
    names = ("linked/0.avi", "real/1.avi", "real/2.avi", "link.avi", "real/new.avi")
    assert find_repeats(train, records(tmp_path, *((name, 0) for name in names))) == [
        "4 videos are in both the training and the test list (linked/0.avi, real/1.avi, real/2.avi, ...): results on "
        "the test list are too good"
    ]


def test_twice_in_one_list(tmp_path: Path):
    """And with two classes."""
    train = records(tmp_path, ("1.avi", 0), ("1.avi", 0), ("2.avi", 1), ("2.avi", 0), ("2.avi", 0), ("3.avi", 0))
    test = records(tmp_path, ("4.avi", 0), ("4.avi", 0))
    assert find_repeats(train, test) == [
        "2 videos are more than once in the training list (1.avi, 2.avi): each counts as often as it is listed",
        "1 video is in the training list with two classes (2.avi)",
        "1 video is more than once in the test list (4.avi): each counts as often as it is listed",
    ]


def test_lists_that_spell_a_video_in_two_ways(tmp_path: Path):
    """What is found in other case is the same file."""
    (tmp_path / "A.avi").touch()
    (tmp_path / "train.csv").write_text("path\nA.avi\n")
    (tmp_path / "test.csv").write_text("path\na.AVI\n")
    train, test = (video_lists(tmp_path, None, split=1, subset=subset) for subset in ("train", "test"))
    assert find_repeats(train, test) == [
        "1 video is in both the training and the test list (a.AVI): results on the test list are too good"
    ]


def test_classes_that_are_spelt_in_two_ways(tmp_path: Path):
    """They stay two: the dataset may mean it, but nobody is left to find out by a low accuracy."""
    labels = ["Golf swing", "golf_swing", "caf\u00e9", "cafe\u0301", "run", "runs", "+", "-", "1", "2"]
    rows = "".join(f"{i}.avi,{label}\n" for i, label in enumerate(labels))
    for i in range(len(labels)):
        (tmp_path / f"{i}.avi").touch()
    (tmp_path / "train.csv").write_text(f"path,label\n{rows}", encoding="utf-8")
    train = video_lists(tmp_path, None, split=1, subset="train")
    assert len({record.class_id for record in train}) == len(labels)
    lines = find_repeats(train, [])
    assert len(lines) == 2
    assert "classes 'Golf swing', 'golf_swing' are 2 classes that differ in case, blanks or marks alone" in lines[0]
    assert "caf\u00e9" in lines[1]
