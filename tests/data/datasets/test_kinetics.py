"""Kinetics' official csv, and copies in whatever layout, never complete."""

import logging
from pathlib import Path

import pytest

from kdvideo.data.datasets.kinetics import kinetics, read_kinetics_csv

HEADER = "label,youtube_id,time_start,time_end,split"
TRAIN = ["testifying,---QUuC4vJs,84,94,train", "eating spaghetti,--3ouPhoy2A,20,30,train", "testifying,abc,0,10,train"]
VAL = ["testifying,zzz_-9,1000,1010,validate"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("\n".join([HEADER, *TRAIN]) + "\n")
    (tmp_path / "val.csv").write_text("\n".join([HEADER, *VAL]) + "\n")
    return tmp_path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("layout", ["{}", "train/{}", "eating spaghetti/{}", "a/b/{}"])
def test_files_in_any_layout(root: Path, layout: str, caplog: pytest.LogCaptureFixture):
    """Flat or in class folders, any container, proxies too; what is missing is counted."""
    caplog.set_level(logging.INFO, logger="kdvideo")
    names = [layout.format(name) for name in ("---QUuC4vJs_000084_000094.mkv.mp4", "--3ouPhoy2A_000020_000030.mp4")]
    touch(root, *names)
    records = kinetics(root, None, split=1, subset="train")
    assert [(record.name, record.class_id) for record in records] == list(zip(names, [1, 0], strict=True))
    assert "2 of the 3 videos of the train list are there" in caplog.text


def test_validation_has_the_training_classes(root: Path):
    """Class numbers come from the training list, also where the other list lacks a class."""
    touch(root, "zzz_-9_001000_001010.mp4")
    (record,) = kinetics(root, None, split=1, subset="test")
    assert record.class_id == 1


def test_what_is_wrong(root: Path):
    """No video, an unknown class, missing or doubled files, no header, times that are none, another split."""
    touch(root, "other.mp4")
    with pytest.raises(ValueError, match=r"none of the 3 videos .* named as ---QUuC4vJs_000084_000094\.mp4"):
        kinetics(root, None, split=1, subset="train")
    (root / "val.csv").write_text(f"{HEADER}\nunheard of,a,0,10,val\n")
    with pytest.raises(ValueError, match=r"1 classes of the test list are not in train\.csv: unheard of"):
        kinetics(root, None, split=1, subset="test")
    (root / "my_validate.csv").touch()
    with pytest.raises(ValueError, match=r"one file \*val\*\.csv, but has my_validate\.csv, val\.csv"):
        kinetics(root, None, split=1, subset="test")
    (root / "x.csv").write_text("a,b,1,2\n")
    with pytest.raises(ValueError, match="lacks the columns label, youtube_id, time_start, time_end"):
        read_kinetics_csv(root / "x.csv")
    (root / "x.csv").write_text(f"{HEADER}\na,b,soon,2,train\n")
    with pytest.raises(ValueError, match="line 2 has a time_start or time_end that is no number"):
        read_kinetics_csv(root / "x.csv")
    with pytest.raises(ValueError, match=r"`split` is 2, but kinetics has one split"):
        kinetics(root, None, split=2, subset="train")
