"""The videos below a folder: nothing is passed over without a word."""

from pathlib import Path

import pytest
from empty_files import touch
from other_user import as_other_user, shared_folder

from kdvideo.data.datasets import class_folders, kinetics, unlabelled, video_lists
from kdvideo.data.datasets.walk import find_readable_videos, find_videos, look_below
from kdvideo.inference.videos import list_videos

ENDINGS = (
    *("mjpeg", "mjpg", "ogg", "divx", "mxf", "h264", "264", "hevc", "h265", "mp4v", "f4v", "rm", "rmvb", "mpe", "m2v"),
    *("y4m", "MPE", "mk3d", "qt", "3g2", "dv", "nut"),
)


def names_of(records) -> list[str]:
    return [record.name for record in records]


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings_of_videos(tmp_path: Path, ending: str):
    """What FFmpeg reads as video is a video, whatever the case of its ending."""
    assert find_videos(touch(tmp_path, f"a/1.{ending}", "a/2.txt")) == [f"a/1.{ending}"]


def test_what_is_passed_over_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """By ending, with the first; lists, text, pictures, sound and hidden files are no loss."""
    touch(tmp_path, "a/1.avi", "a/2", "a/3.xyz", "b/4.XYZ", "b/5.zip", "b/6.avi.part")
    touch(tmp_path, *(f"c/{i}.{ending}" for i, ending in enumerate(("txt", "csv", "jpg", "wav", "md", "srt", "jsonl"))))
    touch(tmp_path, "README", "LICENSE", "c/Thumbs.db", "c/.7.xyz", ".cache/8.xyz", "kdvideo-manifest.summary.json")
    assert find_videos(tmp_path) == ["a/1.avi"]
    counts = (
        "5 files do not end like videos and are passed over (.xyz 2, no ending 1, .zip 1, .part 1; the first is a/2)"
    )
    assert counts in caplog.text
    assert len(caplog.records) == 1
    caplog.clear()
    assert find_videos(touch(tmp_path / "healthy", "1.avi", "list.txt")) == ["1.avi"]
    assert not caplog.records


def test_class_folders_count_what_they_pass_over(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Once for both lists."""
    touch(tmp_path, "a/1.avi", "b/2.avi", "b/3.xyz")
    for subset in ("train", "test"):
        class_folders(tmp_path, None, split=1, subset=subset)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 1 files do not end like videos and are passed over (.xyz 1; the first is b/3.xyz): rename those "
        "that are videos"
    ]


@pytest.mark.parametrize("mode", [0o000, 0o311])
@pytest.mark.parametrize("dataset", [class_folders, unlabelled, kinetics])
def test_datasets_refuse_a_folder_that_cannot_be_read(dataset, mode: int):
    """A training set that silently lacks a class is wrong."""
    with shared_folder() as root:
        header = "label,youtube_id,time_start,time_end\n"
        (root / "train.csv").write_text(f"{header}a,x,0,1\n")
        touch(root, "a/x_000000_000001.avi", "b/1.avi", "b/deep/2.avi", "c/3.avi", "c/4.avi")
        (root / "b" / "deep").chmod(mode)
        answer = as_other_user(lambda: names_of(dataset(root, None, split=1, subset="train")))
        assert answer == (
            f"ValueError: folder {root}/b/deep cannot be read: Permission denied: allow it (chmod u+rx, or ask its "
            "owner) or move it out of `root`"
        )
        (root / "b" / "deep").chmod(0o755)
        assert "a/x_000000_000001.avi" in as_other_user(lambda: names_of(dataset(root, None, split=1, subset="train")))


def test_an_unreadable_folder_that_is_no_part():
    """What lies beside train and test is not used and may be anybody's; a disk's lost+found is no class."""
    with shared_folder() as root:
        touch(root, "train/a/1.avi", "test/a/2.avi", "others/3.avi", "lost+found/4")
        for name in ("others", "lost+found"):
            (root / name).chmod(0)
        assert (
            as_other_user(lambda: names_of(class_folders(root, None, split=1, subset="train"))) == "['train/a/1.avi']"
        )
        assert as_other_user(lambda: find_readable_videos(root)) == "['test/a/2.avi', 'train/a/1.avi']"
        (root / "test").chmod(0)
        answer = as_other_user(lambda: names_of(class_folders(root, None, split=1, subset="train")))
        assert answer.startswith(f"ValueError: folder {root}/test cannot be read")


def test_commands_go_on_without_a_folder_that_cannot_be_read():
    """embed, predict, check and prepare name it and take the others."""
    with shared_folder() as root:
        touch(root, "a/1.avi", "b/2.avi")
        (root / "b").chmod(0)
        found = as_other_user(lambda: [look_below(root).unreadable, [path.name for path in list_videos([root])]])
        assert found == f"[['folder {root}/b cannot be read: Permission denied'], ['1.avi']]"


def test_a_file_whose_folder_forbids_looking():
    """Its name can be listed, the file itself not be touched: it is listed, and the check names it."""
    with shared_folder() as root:
        (root / "train.csv").write_text("path,label\na/1.avi,x\nb/2.avi,y\n")
        touch(root, "a/1.avi", "b/2.avi")
        (root / "b").chmod(0o644)
        assert as_other_user(lambda: find_videos(root)) == "['a/1.avi', 'b/2.avi']"
        found = as_other_user(lambda: [str(r.path) for r in video_lists(root, None, split=1, subset="train")])
        assert found == str([f"{root}/a/1.avi", f"{root}/b/2.avi"])


@pytest.mark.parametrize("name", ["x" * 300 + ".avi", "dangling.avi", "loop.avi"])
def test_listed_names_that_lead_nowhere(tmp_path: Path, name: str):
    """Too long, a dangling link, a link to itself: the check says so of each."""
    (tmp_path / "dangling.avi").symlink_to("nowhere.avi")
    (tmp_path / "loop.avi").symlink_to("loop.avi")
    (tmp_path / "train.csv").write_text(f"path\n{name}\n")
    (record,) = video_lists(tmp_path, None, split=1, subset="train")
    assert record.path == tmp_path / name
