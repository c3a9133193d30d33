"""One's own lists."""

from pathlib import Path

import pytest

from kdvideo.data.datasets.lists import video_lists


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def read(root: Path, subset: str) -> list[tuple[str, int | None]]:
    return [(record.name, record.class_id) for record in video_lists(root, None, split=1, subset=subset)]


def test_csv_with_names(tmp_path: Path):
    """Names are numbered alphabetically over the training list; quoted commas are part of a name."""
    write(tmp_path, train__csv='path,label\nx/1.mp4,run\n"x/a, b.mp4",jump\n', test__csv="label,path\nrun,2.mp4\n")
    assert read(tmp_path, "train") == [("x/1.mp4", 1), ("x/a, b.mp4", 0)]
    assert read(tmp_path, "test") == [("2.mp4", 1)]


def test_jsonl_with_numbers(tmp_path: Path):
    """Whole numbers are class ids as they are; the two lists may be of different kinds."""
    write(tmp_path, train__jsonl='{"path": "1.mp4", "label": 7}\n{"path": "2.mp4", "label": 0}\n')
    write(tmp_path, test__csv="path,label\n3.mp4,7\n")
    assert read(tmp_path, "train") == [("1.mp4", 7), ("2.mp4", 0)]
    assert read(tmp_path, "test") == [("3.mp4", 7)]


def test_without_labels(tmp_path: Path):
    """No label anywhere: no classes."""
    write(tmp_path, train__jsonl='{"path": "1.mp4"}\n', test__csv="path\n2.mp4\n")
    assert read(tmp_path, "train") == [("1.mp4", None)]
    assert read(tmp_path, "test") == [("2.mp4", None)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"must hold either train\.csv or train\.jsonl"),
        ({"train__csv": "path\na.mp4\n", "train__jsonl": "{}"}, r"must hold either train\.csv or train\.jsonl"),
        ({"train__csv": "file,label\na.mp4,1\n"}, "has the columns file, label; it must have path"),
        ({"train__csv": "path,label\na.mp4,1\nb.mp4,\n"}, r"gives 1 of 2 videos no label, the first b\.mp4"),
        ({"train__csv": "path,label\n../a.mp4,1\n"}, r"train\.csv video 1 names '\.\./a\.mp4'"),
        ({"train__csv": "path,label\n/a.mp4,1\n"}, r"names '/a\.mp4'"),
        ({"train__jsonl": "[1]\n"}, r"line 1 is '\[1\]'; it must be like"),
        ({"train__jsonl": "{\n"}, "line 1 is no JSON"),
        ({"train__jsonl": '{"label": 1}\n'}, "video 1 has the path None; it must be a text"),
        ({"train__csv": "path,label\n"}, "names no video"),
    ],
)
def test_what_is_wrong(tmp_path: Path, files: dict[str, str], message: str):
    """Each with the file and the line."""
    write(tmp_path, other__txt="", **files)
    with pytest.raises(ValueError, match=message):
        video_lists(tmp_path, None, split=1, subset="train")


def test_unknown_label(tmp_path: Path):
    """A class that is only tested cannot be learned."""
    write(tmp_path, train__csv="path,label\na.mp4,run\n", test__csv="path,label\nb.mp4,fly\n")
    with pytest.raises(ValueError, match="the test list has the label 'fly', which the training list lacks"):
        video_lists(tmp_path, None, split=1, subset="test")
