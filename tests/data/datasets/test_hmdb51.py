"""HMDB51's official split files, in the form that its authors publish."""

from pathlib import Path

import pytest

from kdvideo.data.datasets.hmdb51 import hmdb51, read_hmdb51_lists

# Genuine names: brackets, hashes, exclamation marks; lines end in a blank.
WAVE = ["20060723sfjffbarea2_wave_f_cm_np1_ba_med_0.avi 1 ", "RATRACE_wave_f_nm_np1_fr_goo_37.avi 2 "]
CLAP = ["#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi 0 ", "A_(Good)_[x]_clap!_u_nm_np1_fr_goo_1.avi 1 ", "b_clap_c.avi 2 "]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for class_name, lines in (("wave", WAVE), ("clap", CLAP)):
        (tmp_path / class_name).mkdir()
        (lists / f"{class_name}_test_split2.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            (tmp_path / class_name / line[:-3]).touch()
    return tmp_path


def test_marks(root: Path):
    """1 trains, 2 tests, 0 is in neither; classes are numbered alphabetically."""
    train, test = (hmdb51(root, None, split=2, subset=subset) for subset in ("train", "test"))
    assert [(record.name, record.class_id) for record in train] == [
        ("clap/A_(Good)_[x]_clap!_u_nm_np1_fr_goo_1.avi", 0),
        ("wave/20060723sfjffbarea2_wave_f_cm_np1_ba_med_0.avi", 1),
    ]
    assert [record.name for record in test] == ["clap/b_clap_c.avi", "wave/RATRACE_wave_f_nm_np1_fr_goo_37.avi"]
    assert all(record.path.is_file() for record in [*train, *test])


def test_what_is_wrong(root: Path):
    """A split without lists; a line without a mark; a name that climbs."""
    lists = root / "testTrainMulti_7030_splits"
    with pytest.raises(ValueError, match=r"has no lists CLASS_test_split1\.txt"):
        hmdb51(root, None, split=1, subset="train")
    (lists / "wave_test_split2.txt").write_text("a.avi 3\n")
    with pytest.raises(ValueError, match=r"line 1 is 'a\.avi 3'; it must be a file name and a mark"):
        hmdb51(root, None, split=2, subset="train")
    (lists / "wave_test_split2.txt").write_text("../a.avi 1\n")
    with pytest.raises(ValueError, match=r"names '\.\./a\.avi'"):
        hmdb51(root, None, split=2, subset="train")


CLASSES = (
    *("brush_hair", "cartwheel", "catch", "chew", "clap", "climb", "climb_stairs", "dive", "draw_sword", "dribble"),
    *("drink", "eat", "fall_floor", "fencing", "flic_flac", "golf", "handstand", "hit", "hug", "jump", "kick"),
    *("kick_ball", "kiss", "laugh", "pick", "pour", "pullup", "punch", "push", "pushup", "ride_bike", "ride_horse"),
    *("run", "shake_hands", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "situp", "smile", "smoke", "somersault"),
    *("stand", "swing_baseball", "sword", "sword_exercise", "talk", "throw", "turn", "walk", "wave"),
)


def test_all_classes_are_numbered_as_everybody_does(tmp_path: Path):
    """By class name: climb before climb_stairs, kick before kick_ball, sword before sword_exercise."""
    assert len(CLASSES) == 51
    for name in CLASSES:
        (tmp_path / f"{name}_test_split1.txt").write_text(f"{name}_x.avi 1 \n")
        (tmp_path / f"._{name}_test_split1.txt").write_text("what macOS leaves\n")
    records = hmdb51(tmp_path, tmp_path, split=1, subset="train")
    assert [(r.class_id, r.class_name, r.name) for r in records] == [
        (i, name, f"{name}/{name}_x.avi") for i, name in enumerate(CLASSES)
    ]


def test_genuine_list_names(real_data: Path, tmp_path: Path):
    """The same from the names of the official files."""
    listed = read_hmdb51_lists(real_data / "field" / "hmdb51_lists", split=1, subset="train")
    assert list(dict.fromkeys((class_id, name.split("/")[0]) for name, class_id in listed)) == list(enumerate(CLASSES))
