"""Columns and labels of one's own lists: a list is never read as something else than it is."""

from pathlib import Path

import pytest

from kdvideo.data.datasets.lists import video_lists
from kdvideo.data.datasets.ucf101 import read_ucf101_list


def read(root: Path, text: str, *, test: str = "", ending: str = "csv") -> list[tuple[str, int | None, str | None]]:
    (root / f"train.{ending}").write_text(text)
    (root / f"test.{ending}").write_text(test)
    subset = "test" if test else "train"
    return [(r.name, r.class_id, r.class_name) for r in video_lists(root, None, split=1, subset=subset)]


HEADERS = (
    "path, label",
    "Path,Label",
    " PATH ,label",
    "label_x,path,LABEL",
    "path;label",
    "path\tlabel",
    "path; Label",
)


@pytest.mark.parametrize("header", HEADERS)
def test_headers_as_people_write_them(tmp_path: Path, header: str):
    """Blanks, capitals, semicolons and tabs; today's pretraining took the first as a list without labels."""
    mark = next(mark for mark in ";\t," if mark in header)
    first = f"x{mark}" if header.startswith("label_x") else ""
    text = f'{header}\n{first}1.avi{mark} run fast\n{first}2.avi{mark}"b{mark} c"\n'
    assert read(tmp_path, text) == [("1.avi", 1, "run fast"), ("2.avi", 0, f"b{mark} c")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,class\n1.avi,a\n",
            "has the columns path, class and none called label: call the column of the classes label",
        ),
        ("path,whatever\n1.avi,a\n", "has the columns path, whatever and none called label"),
        ("path,fps,Category\n1.avi,25,a\n", "has the columns path, fps, category and none called label"),
        ("video,label\n1.avi,a\n", "has the columns video, label; it must have path, and label"),
        ("path|label\n1.avi|a\n", r"has the columns path\|label; it must have path, .* divided by commas, semicolons"),
        (
            "path,label,Label\n1.avi,a,b\n",
            "path, label, label; it must have path, and label, each once",
        ),
        (
            "1.avi,a\n2.avi,b\n",
            r"has the columns 1\.avi, a; it must have path, and label, .* in its first line",
        ),
        ("path,label\n1.avi,run, fast\n", "line 2 has more fields than the header: put one that has a comma in quotes"),
        ("path\n1, 2.avi\n", "line 2 has more fields than the header"),
        ('path,label\n1.avi,"run\n2.avi,b"\n', "line 2 is .* no csv of one line: unexpected end of data; .*jsonl"),
    ],
)
def test_columns_that_may_be_labels_are_refused(tmp_path: Path, text: str, message: str):
    """None of them is a list without labels."""
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_keys_of_json_lines(tmp_path: Path):
    """The same rules."""
    assert read(tmp_path, '{" Path": "1.avi", "Label": "a b"}\n', ending="jsonl") == [("1.avi", 0, "a b")]
    with pytest.raises(ValueError, match="has the columns path, class and none called label"):
        read(tmp_path, '{"path": "1.avi", "class": "a"}\n', ending="jsonl")
    with pytest.raises(ValueError, match=r"video 1 has the label \['a', 'b'\]; it must be a text or a whole number"):
        read(tmp_path, '{"path": "1.avi", "label": ["a", "b"]}\n', ending="jsonl")


def test_columns_that_are_not_used_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Beside labels they are nobody's concern."""
    assert read(tmp_path, "path,fps,width\n1.avi,25,320\n") == [("1.avi", None, None)]
    assert "has no column label: its videos have no classes, and fps, width are not used" in caplog.text
    caplog.clear()
    assert read(tmp_path, "path,fps,label,\n1.avi,25,a,\n") == [("1.avi", 0, "a")]
    assert not caplog.records


def test_one_list_without_labels(tmp_path: Path):
    """Either way round."""
    with pytest.raises(ValueError, match="the test list has no labels, but the training list has"):
        read(tmp_path, "path,label\n1.avi,a\n", test="path\n2.avi\n")
    with pytest.raises(ValueError, match="the test list has the label 'a', which the training list lacks"):
        read(tmp_path, "path\n1.avi\n", test="path,label\n2.avi,a\n")


@pytest.mark.parametrize("label", ["20231105", "1000", "9" * 30, "9" * 5000])
def test_ids_far_beyond_the_number_of_classes(tmp_path: Path, label: str):
    """They would make a head of as many classes."""
    with pytest.raises(ValueError, match=r"has 2 class ids, the highest \d{4,18}, which would make .* from 0, or give"):
        read(tmp_path, f"path,label\n1.avi,0\n2.avi,{label}\n")


def test_ids_of_many_classes(tmp_path: Path):
    """5000 of them are fine, and so is a part of a dataset of some hundred classes."""
    rows = "".join(f"{i}.avi,{i}\n" for i in range(5000))
    assert read(tmp_path, f"path,label\n{rows}")[-1] == ("4999.avi", 4999, None)
    assert read(tmp_path, "path,label\n1.avi,3\n2.avi,699\n") == [("1.avi", 3, None), ("2.avi", 699, None)]


def test_ids_below_zero_are_refused(tmp_path: Path):
    """They were names, sorted as text; -1 is often what has no class."""
    with pytest.raises(ValueError, match="the training list has the class id -1: number the classes from 0"):
        read(tmp_path, "path,label\n1.avi,-1\n2.avi,0\n3.avi,1\n")
    assert read(tmp_path, "path,label\n1.avi,-1 C\n2.avi,5 C\n")[1] == ("2.avi", 1, "5 C")


def test_ids_from_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """They stay as they are, and it is said that one class has no videos."""
    assert [r[1] for r in read(tmp_path, "path,label\n1.avi,1\n2.avi,2\n3.avi,3\n")] == [1, 2, 3]
    assert "no training video has the class id 0: a classifier gets 4 classes, 0 to 3, for the 3" in caplog.text
    caplog.clear()
    assert [r[1] for r in read(tmp_path, "path,label\n1.avi,1\n2.avi,0\n")] == [1, 0]
    assert not caplog.records


def test_ids_with_zeros_before_them(tmp_path: Path):
    """007 is 7 in either list."""
    text = "path,label\n1.avi,007\n" + "".join(f"x{i}.avi,{i}\n" for i in range(7))
    assert read(tmp_path, text, test="path,label\n2.avi,7\n3.avi,0006\n") == [("2.avi", 7, None), ("3.avi", 6, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 A\n20231105 B\n", r"has 2 class ids, the highest 20231104, which would make"),
        ("0 A\n1 B\n", "has the line '0 A'; it must be a number from 1"),
        ("1 A\n1 B\n", "has a number or a name twice: '1 B'"),
        ("1 A\n2 A\n", "has a number or a name twice: '2 A'"),
    ],
)
def test_numbers_in_class_ind(tmp_path: Path, text: str, message: str):
    """UCF101's are held to the same."""
    (tmp_path / "classInd.txt").write_text(text)
    (tmp_path / "testlist01.txt").write_text("A/1.avi\n")
    with pytest.raises(ValueError, match=message):
        read_ucf101_list(tmp_path, split=1, subset="test")
