"""What datasets call their classes: never the folders that the videos happen to lie in."""

from pathlib import Path

import pytest

from kdvideo.data.datasets import Subset, VideoRecord, class_folders, hmdb51, kinetics, ucf101, video_lists
from kdvideo.data.datasets.records import class_names

SUBSETS: tuple[Subset, Subset] = ("train", "test")


def write(root: Path, **files: str) -> Path:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)
    return root


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def both(dataset, root: Path) -> list[VideoRecord]:
    return [record for subset in SUBSETS for record in dataset(root, None, split=1, subset=subset)]


def record(class_id: int | None, class_name: str | None) -> VideoRecord:
    return VideoRecord(Path("folder/x.avi"), "folder/x.avi", class_id, class_name)


def test_labels_of_a_csv(tmp_path: Path):
    """Blanks, quotes and commas belong to the name; the folders are days."""
    train = 'path,label\nday1/a.avi,"shooting an arrow"\nday2/b.avi,"playing ""hoops"""\nday1/c.avi,"run, fast"\n'
    write(tmp_path, train__csv=train, test__csv='path,label\nday1/d.avi,"run, fast"\n')
    assert class_names(both(video_lists, tmp_path)) == ['playing "hoops"', "run, fast", "shooting an arrow"]


def test_labels_of_the_field(real_data: Path, tmp_path: Path):
    """Lists whose labels are not the folders' names."""
    for subset in SUBSETS:
        (tmp_path / f"{subset}.csv").write_bytes((real_data / "field" / "lists" / f"{subset}.csv").read_bytes())
    records = both(video_lists, tmp_path)
    assert class_names(records) == ['playing "hoops"', "shooting an arrow"]
    assert {(r.name.split("/")[0], r.class_name) for r in records} == {
        ("day1", "shooting an arrow"),
        ("day2", 'playing "hoops"'),
    }


def test_labels_of_json_lines(tmp_path: Path):
    """A flat folder has names, too."""
    write(tmp_path, train__jsonl='{"path": "a.avi", "label": "b c"}\n{"path": "d.avi", "label": "a"}\n')
    write(tmp_path, test__csv="path,label\ne.avi,a\n")
    assert class_names(both(video_lists, tmp_path)) == ["a", "b c"]


def test_ids_have_no_names(tmp_path: Path):
    """A list of numbers does not say what they mean; a folder is no name."""
    write(tmp_path, train__csv="path,label\nday1/a.avi,0\nday2/b.avi,1\n", test__csv="path,label\nday2/c.avi,1\n")
    records = both(video_lists, tmp_path)
    assert [r.class_name for r in records] == [None, None, None]
    assert class_names(records) == []


def test_subjects_below_classes(tmp_path: Path):
    """CLASS/camA/video.avi is of CLASS."""
    touch(tmp_path, *(f"{name}/cam{i % 2}/{i}.avi" for name in ("walk", "run") for i in range(4)))
    records = both(class_folders, tmp_path)
    assert class_names(records) == ["run", "walk"]
    assert all(r.class_name == r.name.split("/")[0] for r in records)


def test_flat_kinetics(tmp_path: Path):
    """The csv's labels, wherever the files lie."""
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path, train__csv=f"{header}eating spaghetti,a,0,10,train\nabseiling,b,0,10,train\n")
    write(tmp_path, val__csv=f"{header}abseiling,c,0,10,val\n")
    touch(tmp_path, "a_000000_000010.mp4", "b_000000_000010.mp4", "part2/c_000000_000010.mp4")
    assert class_names(both(kinetics, tmp_path)) == ["abseiling", "eating spaghetti"]


def test_ucf101_and_hmdb51(tmp_path: Path):
    """The names of classInd.txt and of the list files."""
    ucf = write(tmp_path / "ucf", classInd__txt="1 Zumba\n2 Archery\n", testlist01__txt="Archery/v_2.avi\n")
    write(ucf, trainlist01__txt="Zumba/v_1.avi 1\nArchery/v_1.avi 2\n")
    records = [r for subset in SUBSETS for r in ucf101(ucf, ucf, split=1, subset=subset)]
    assert class_names(records) == ["Zumba", "Archery"]
    hmdb = write(tmp_path / "hmdb", wave_test_split1__txt="a.avi 1 \n", brush_hair_test_split1__txt="b.avi 2 \n")
    records = [r for subset in SUBSETS for r in hmdb51(hmdb, hmdb, split=1, subset=subset)]
    assert class_names(records) == ["brush_hair", "wave"]


def test_a_class_without_videos_shifts_no_name(tmp_path: Path):
    """Three of four classes of classInd.txt are listed: their ids stay, and there is no list with a gap."""
    write(tmp_path, classInd__txt="1 A\n2 B\n3 C\n4 D\n", testlist01__txt="C/2.avi\n")
    write(tmp_path, trainlist01__txt="A/1.avi 1\nC/1.avi 3\n")
    records = [r for subset in SUBSETS for r in ucf101(tmp_path, tmp_path, split=1, subset=subset)]
    assert {(r.class_id, r.class_name) for r in records} == {(0, "A"), (2, "C")}
    assert class_names(records) == []


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([(1, "b"), (0, "a"), (1, "b")], ["a", "b"]),
        ([(0, "a"), (None, None)], ["a"]),  # a video without a class beside
        ([(0, "a"), (1, None)], []),
        ([(0, "a"), (1, "")], []),
        ([(0, "a"), (0, "b"), (1, "c")], []),
        ([(0, "a"), (0, None), (1, "c")], []),
        ([(0, "a"), (1, "a")], []),
        ([(0, "a"), (2, "c")], []),
        ([(1, "b")], []),
        ([(None, None)], []),
        ([], []),
    ],
)
def test_only_complete_names(given: list[tuple[int | None, str | None]], names: list[str]):
    """In the order of the ids; none at all where one is missing or contradicted."""
    assert class_names(record(*pair) for pair in given) == names
