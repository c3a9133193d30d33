"""Manifests as files: torn lines, parts, changes of the videos."""

import os
from dataclasses import replace
from pathlib import Path

from kdvideo.data.checking.manifest import (
    ManifestEntry,
    append_entry,
    is_current,
    open_journal,
    part_of,
    part_path,
    read_manifest,
    summarise,
    write_manifest,
)
from kdvideo.data.readers.probe import VideoProbe

GOOD = VideoProbe(frames=50, fps=25.0, width=320, height=240, codec="mpeg4", reader="pyav")
ENTRY = ManifestEntry("a/1.avi", GOOD, file_bytes=10, mtime_ns=20, source={"sha256": "0" * 64})


def append(path: Path, *entries: ManifestEntry) -> None:
    with open_journal(path) as journal:
        for entry in entries:
            append_entry(journal, entry)


def test_what_is_written_is_read(tmp_path: Path):
    """Also names that are not UTF-8; the later of two lines about a video counts."""
    odd = replace(ENTRY, path="a/caf\udce9 \n.avi", source=None, probe=VideoProbe(problem="has no video stream"))
    newer = replace(ENTRY, file_bytes=11)
    append(tmp_path / "m.jsonl", ENTRY, odd)
    append(tmp_path / "m.jsonl", newer)
    assert read_manifest(tmp_path / "m.jsonl") == {ENTRY.path: newer, odd.path: odd}


def test_a_torn_line_costs_one_video(tmp_path: Path):
    """Cut anywhere, a journal can be read and continued."""
    path = tmp_path / "m.jsonl"
    entries = [replace(ENTRY, path=f"{i}.avi") for i in range(3)]
    append(path, *entries)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = read_manifest(path)
        assert len(kept) in (length // (len(whole) // 3), (length + 1) // (len(whole) // 3))  # a line may lack its end
        append(path, ENTRY)
        assert read_manifest(path) == {**kept, ENTRY.path: ENTRY}


def test_lines_of_others_are_not_believed(tmp_path: Path):
    """No JSON, no object, another format, unknown or missing keys."""
    path = tmp_path / "m.jsonl"
    append(path, ENTRY)
    line = path.read_text()
    strange = ["no json", "[1]", "3", "{}", line.replace('"format": 2', '"format": 3').strip()]
    strange += [line.replace('"frames"', '"pictures"').strip(), line.replace('"mtime_ns"', '"mtime"').strip()]
    path.write_text("\n".join(strange) + "\n")
    assert read_manifest(path) == {}


def test_parts_are_joined(tmp_path: Path):
    """Every video is in one part; joining leaves one sorted file."""
    names = [f"{i}.avi" for i in range(11)]
    parts = [part_of(names, (i, 3)) for i in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert part_of(names, None) == names
    whole = tmp_path / "m.jsonl"
    assert part_path(whole, None) == whole
    for i, part in enumerate(parts, start=1):
        append(part_path(whole, (i, 3)), *(replace(ENTRY, path=name) for name in part))
    entries = read_manifest(whole)
    write_manifest(whole, entries)
    assert [file.name for file in tmp_path.iterdir()] == ["m.jsonl"]
    assert list(read_manifest(whole)) == sorted(names)


def test_a_changed_file_is_noticed(tmp_path: Path):
    """By its size or its time; a missing one too."""
    video = tmp_path / "v.avi"
    video.write_bytes(b"1234")
    status = video.stat()
    entry = ManifestEntry("v.avi", GOOD, file_bytes=4, mtime_ns=status.st_mtime_ns)
    assert is_current(entry, tmp_path)
    assert not is_current(replace(entry, file_bytes=5), tmp_path)
    os.utime(video, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
    assert not is_current(entry, tmp_path)
    video.unlink()
    assert not is_current(entry, tmp_path)


def test_summary():
    """Sums over what can be used; problems by name."""
    bad = replace(ENTRY, path="b.avi", probe=VideoProbe(problem="gives no frame"))
    summary = summarise([ENTRY, replace(ENTRY, path="c.avi", probe=replace(GOOD, frames=70)), bad])
    assert (summary["videos"], summary["usable"], summary["frames"], summary["shortest"]) == (3, 2, 120, 50)
    assert summary["codecs"] == {"mpeg4": 2}
    assert summary["problems"] == {"b.avi": "gives no frame"}
    assert summarise([])["shortest"] == 0
