"""Rebuilding ucf101-mini, and subsets that cannot be rebuilt."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdvideo.data.datasets.rebuild import SubsetFile, find_subset_list, read_subset_list, rebuild_subset
from kdvideo.files import file_sha256


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of UCF101 with three files, its official lists, and another spelling of a class."""
    folder = tmp_path / "UCF-101"
    for name in ("Archery/a.avi", "Archery/b.avi", "HandStandPushups/c.avi"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def files_of(source: Path) -> list[SubsetFile]:
    sha256 = file_sha256(source / "Archery/a.avi")
    return [
        SubsetFile("HandstandPushups/c.avi", 2, "train", ""),
        SubsetFile("Archery/a.avi", 1, "train", sha256),
        SubsetFile("Archery/b.avi", 1, "test", ""),
    ]


def test_ucf101_mini(real_data: Path, tmp_path: Path):
    """The committed list gives the real one, byte for byte: 208 videos and three lists."""
    real = real_data / "ucf101-mini"
    source = tmp_path / "UCF-101"
    shutil.copytree(real, source, ignore=shutil.ignore_patterns("ucfTrainTestlist"))
    (source / "Archery" / "v_Archery_g25_c99.avi").write_text("a video that is not in the subset")
    target = tmp_path / "mini"
    rebuild_subset(source, read_subset_list(find_subset_list("ucf101mini")), target)
    made, wanted = ({path.relative_to(root): path for path in root.rglob("*.*")} for root in (target, real))
    assert len(made) == 211
    assert set(made) == set(wanted)
    assert all(made[name].read_bytes() == wanted[name].read_bytes() for name in made)


def test_other_spelling_and_again(source: Path, tmp_path: Path):
    """Files get the list's names; a second call copies only what is not as it should be."""
    target = tmp_path / "mini"
    rebuild_subset(source, files_of(source), target)
    assert (target / "HandstandPushups/c.avi").read_text() == "HandStandPushups/c.avi"
    assert (target / "ucfTrainTestlist/classInd.txt").read_text() == "1 Archery\n2 HandstandPushups\n"
    assert (target / "ucfTrainTestlist/trainlist01.txt").read_text() == "HandstandPushups/c.avi 2\nArchery/a.avi 1\n"
    assert (target / "ucfTrainTestlist/testlist01.txt").read_text() == "Archery/b.avi\n"
    before = (target / "Archery/a.avi").stat().st_mtime_ns
    (target / "Archery/b.avi").write_text("torn")
    rebuild_subset(source, files_of(source), target)
    assert (target / "Archery/a.avi").stat().st_mtime_ns == before
    assert (target / "Archery/b.avi").read_text() == "Archery/b.avi"


def test_refused_before_anything_is_written(source: Path, tmp_path: Path):
    """A missing or another video, and a target in the source, whose official lists would be written over."""
    target = tmp_path / "mini"
    files = files_of(source)
    with pytest.raises(ValueError, match=r"1 of the listed videos have another sha256 .*\(Archery/b\.avi\)"):
        rebuild_subset(source, [*files[:2], replace(files[2], sha256="0" * 64)], target)
    (source / "Archery/b.avi").unlink()
    with pytest.raises(ValueError, match=r"1 of the listed videos are not there \(Archery/b\.avi\)"):
        rebuild_subset(source, files, target)
    assert not target.exists()
    for place in (source, source / "mini", source.parent):
        with pytest.raises(ValueError, match="neither folder may lie in the other"):
            rebuild_subset(source, files, place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "must have the columns file,class_number,subset,sha256"),
        ("file,class_number,subset,sha256\nA/a.avi,x,train,\n", "line 2 must have a class number"),
        ("file,class_number,subset,sha256\nA/a.avi,1,both,\n", "line 2 must have a class number"),
        ("file,class_number,subset,sha256\n../a.avi,1,train,\n", r"line 2 names '\.\./a\.avi'"),
    ],
)
def test_lists_that_cannot_be(tmp_path: Path, text: str, message: str):
    """Each with its line."""
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_subset_list(find_subset_list(str(tmp_path / "list.csv")))


def test_unknown_lists():
    """The packaged ones are named."""
    with pytest.raises(ValueError, match="did you mean ucf101mini"):
        find_subset_list("ucf101-mini")
