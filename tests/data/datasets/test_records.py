"""Finding files: names in other case, proxies, links, and names that would leave the root."""

import unicodedata
from pathlib import Path

import pytest

from kdvideo.data.datasets.records import VideoFinder, check_inside, check_root, find_videos, held_out, read_lines


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_listed_name_is_found_as_it_is_spelled_first(tmp_path: Path):
    """Exactly, then as a proxy, then in other case; else where it should have been."""
    touch(tmp_path, "A/x.avi", "A/x.avi.mp4", "A/y.avi.mp4", "a/Z.AVI", "a/V.avi.MP4")
    finder = VideoFinder(tmp_path)
    assert finder.find("A/x.avi") == tmp_path / "A/x.avi"
    assert finder.find("A/y.avi") == tmp_path / "A/y.avi.mp4"
    assert finder.find("A/z.avi") == tmp_path / "a/Z.AVI"
    assert finder.find("A/v.avi") == tmp_path / "a/V.avi.MP4"
    assert finder.find("A/none.avi") == tmp_path / "A/none.avi"


@pytest.mark.parametrize("name", ["../x.avi", "A/../../x.avi", "/etc/x.avi", "", ".", "A/\0.avi"])
def test_names_stay_below_the_root(name: str):
    """What a list says becomes a path only below the root."""
    with pytest.raises(ValueError, match=r"list line 3 names .*; it must be a path below `root`"):
        check_inside(name, origin="list line 3")


def test_names_may_hold_dots():
    """Only a whole part ".." climbs."""
    assert check_inside("A/..x...avi", origin="") == "A/..x...avi"


def test_all_videos_below_a_folder(tmp_path: Path):
    """Sorted, nested, by ending; hidden files are not videos; a link that leads back is not followed forever."""
    touch(tmp_path, "b/2.MP4", "a/1.avi", "top.webm", "a/.1.avi.x81.avi", "a/notes.txt", ".cache/3.avi", "other/4.mkv")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "other")
    found = find_videos(tmp_path)
    assert found == sorted(found)
    assert {"a/1.avi", "b/2.MP4", "top.webm"} < set(found)
    assert len([name for name in found if name.endswith("4.mkv")]) == 1
    assert len(found) == 4


def test_held_out_is_a_tenth_and_stays():
    """Rounded up, none of one; the order of the names does not matter; a new name moves few."""
    names = [f"{i}.avi" for i in range(95)]
    apart = held_out(names)
    assert len(apart) == 10
    assert held_out(reversed(names)) == apart
    assert len(apart - held_out([*names, "new.avi"])) <= 1
    assert held_out(["a"]) == set()
    assert held_out(f"{name}.mp4" for name in names) == {f"{name}.mp4" for name in apart}  # their proxies
    assert len(held_out(["a", "b"])) == 1


def test_a_root_that_cannot_be(tmp_path: Path):
    """Missing and empty folders are named."""
    with pytest.raises(ValueError, match="is not a folder"):
        check_root(tmp_path / "none")
    with pytest.raises(ValueError, match="is empty: it must hold videos"):
        check_root(tmp_path)


def test_lists_in_any_encoding(tmp_path: Path):
    """A name that is not UTF-8 still finds its file; a byte-order mark and Windows' line ends go."""
    name = b"caf\xe9.avi"
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.avi\r\n\r\n" + name + b"\r\n")
    with open(bytes(tmp_path) + b"/" + name, "wb"):
        pass
    first, second = read_lines(tmp_path / "list.txt")
    assert first == "a.avi"
    assert (tmp_path / second).is_file()
    assert second in find_videos(tmp_path)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_another_unicode_form(tmp_path: Path, form: str):
    """macOS writes accents as marks of their own; lists come from elsewhere, and the other way round."""
    other = "NFD" if form == "NFC" else "NFC"
    name = "Höhe/Élan café Straße.avi"
    touch(tmp_path, unicodedata.normalize(form, name), unicodedata.normalize(form, "Höhe/ÄB.avi.mp4"))
    finder = VideoFinder(tmp_path)
    found = tmp_path / unicodedata.normalize(form, name)
    assert finder.find(unicodedata.normalize(form, name)) == found
    assert finder.find(unicodedata.normalize(other, name)) == found
    assert finder.find(unicodedata.normalize(other, name.upper().replace("ẞ", "SS"))) == found
    assert finder.find(unicodedata.normalize(other, "Höhe/äb.avi")).name == unicodedata.normalize(form, "ÄB.avi.mp4")


def test_several_files_in_other_case(tmp_path: Path):
    """The one in another Unicode form only, if there is one; else nobody can know."""
    touch(tmp_path, "a/É.avi", "a/é.avi", "b/X.avi", "B/x.avi")
    finder = VideoFinder(tmp_path)
    assert finder.find(unicodedata.normalize("NFD", "a/é.avi")) == tmp_path / "a/é.avi"
    with pytest.raises(ValueError, match=r"b/x\.avi is not there, but B/x\.avi and b/X\.avi are: write in the list"):
        finder.find("b/x.avi")


def test_lines_end_at_line_feeds_only(tmp_path: Path):
    """A name may hold what str.splitlines takes for the end of a line."""
    (tmp_path / "list.txt").write_text("a\u2028b.avi\r\nc\x85d.avi\n")
    assert read_lines(tmp_path / "list.txt") == ["a\u2028b.avi", "c\x85d.avi"]
