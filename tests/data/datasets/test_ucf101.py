"""UCF101's official lists."""

import re
from pathlib import Path

import pytest

from kdvideo.data.datasets.ucf101 import read_ucf101_list, ucf101


@pytest.mark.parametrize(("split", "num_train", "num_test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_official_lists(real_data: Path, split: int, num_train: int, num_test: int):
    """Their published sizes; each of the 101 classes on both sides, no video and no group on both."""
    lists = real_data / "ucfTrainTestlist"
    train, test = (read_ucf101_list(lists, split=split, subset=subset) for subset in ("train", "test"))
    assert (len(train), len(test)) == (num_train, num_test)
    groups = []
    for listed in (train, test):
        assert {class_id for _, class_id in listed} == set(range(101))
        assert len({name for name, _ in listed}) == len(listed)
        found = [re.fullmatch(r".+/v_(.+_g\d\d)_c\d\d\.avi", name) for name, _ in listed]
        groups.append({match[1] for match in found if match})
        assert all(found)
    assert not groups[0] & groups[1]


def test_training_lines_carry_the_same_class(real_data: Path):
    """The number behind a name is classInd's: what the test list's folders are read as."""
    lists = real_data / "ucfTrainTestlist"
    numbers = [int(line.split()[1]) for line in (lists / "trainlist02.txt").read_text().splitlines()]
    assert [class_id + 1 for _, class_id in read_ucf101_list(lists, split=2, subset="train")] == numbers


@pytest.mark.parametrize("folder", ["HandstandPushups", "HandStandPushups"])
@pytest.mark.parametrize("file", ["v_HandStandPushups_g01_c01.avi", "v_HandstandPushups_g01_c01.avi"])
def test_handstand_pushups_in_any_spelling(real_data: Path, tmp_path: Path, folder: str, file: str):
    """The official spelling is mixed, and copies tidy it up one way or the other."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    records = ucf101(tmp_path, real_data / "ucfTrainTestlist", split=1, subset="test")
    (record,) = [record for record in records if record.name == "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    assert record.path == tmp_path / folder / file
    assert record.class_id == 36


def test_lists_that_climb(tmp_path: Path):
    """A name with ".." is refused, not opened."""
    (tmp_path / "classInd.txt").write_text("1 ..\n")
    (tmp_path / "testlist01.txt").write_text("../secret.avi\n")
    with pytest.raises(ValueError, match=r"testlist01\.txt line 1 names '\.\./secret\.avi'"):
        ucf101(tmp_path, tmp_path, split=1, subset="test")


def test_names_with_blanks(tmp_path: Path):
    """In classes and files; a training line's number is the class's, a number before the ending the file's."""
    (tmp_path / "classInd.txt").write_text("1 Apply Eye\n2\tJump\n")
    (tmp_path / "trainlist01.txt").write_text("Apply Eye/my clip 1.avi 1\nJump/a.v2 3.avi\t2\nJump/no_ending 2\n")
    (tmp_path / "testlist01.txt").write_text("Apply Eye/my clip 2.avi\nJump/b 7.avi\n")
    (tmp_path / "Apply Eye").mkdir()
    (tmp_path / "Apply Eye" / "my clip 2.avi").touch()
    train, test = (
        [(r.name, r.class_id, r.class_name) for r in ucf101(tmp_path, tmp_path, split=1, subset=subset)]
        for subset in ("train", "test")
    )
    assert train == [
        ("Apply Eye/my clip 1.avi", 0, "Apply Eye"),
        ("Jump/a.v2 3.avi", 1, "Jump"),
        ("Jump/no_ending", 1, "Jump"),
    ]
    assert test == [("Apply Eye/my clip 2.avi", 0, "Apply Eye"), ("Jump/b 7.avi", 1, "Jump")]
