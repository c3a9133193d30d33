"""Checking a dataset, and training on what the check left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import simplejson

from kdvideo.data.checking import check, look
from kdvideo.data.checking.check import check_dataset, describe_summary, usable_videos
from kdvideo.data.checking.manifest import MANIFEST_NAME, read_manifest, summarise
from kdvideo.data.datasets import VideoRecord, ucf101
from kdvideo.data.datasets.records import find_videos
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.readers.probe import VideoProbe, probe

GONE = "BallRoll/v_BallRoll_g01_c01.avi"


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    shutil.copytree(tiny_dataset, folder)
    return folder


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file with a line for each video that is looked at, whichever process does it."""
    log = tmp_path / "probed"

    def noting(path: Path, *, time_limit: float) -> VideoProbe:
        with log.open("a") as stream:
            stream.write(f"{path.name}\n")
        if path.name.startswith("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        while path.name.startswith("hang"):
            time.sleep(60)
        return probe(path, time_limit=time_limit)

    monkeypatch.setattr(look, "probe", noting)
    log.touch()
    return log


def run(root: Path, **options):
    return check_dataset(root, find_videos(root), num_workers=2, **options)


def usable(root: Path, *, max_bad_fraction: float = 0.0, **options):
    records = ucf101(root, split=1, subset="train")
    return usable_videos(records, root, max_bad_fraction=max_bad_fraction, num_workers=2, **options)


def test_a_manifest_and_a_summary(root: Path):
    """A line a video with what decoding it gives."""
    (root / "empty.avi").touch()
    (root / "text.mp4").write_text("no video")
    checked = run(root)
    assert read_manifest(root / MANIFEST_NAME) == checked
    for name in find_videos(root):
        if name in ("empty.avi", "text.mp4"):
            assert checked[name].probe.problem.startswith("cannot be opened")
        else:
            found = checked[name].probe
            assert (found.frames, found.width, found.height) == (count_frames(root / name), 80, 60)
            assert (found.fps, found.codec, found.problem) == (25.0, "mpeg4", None)
    summary = simplejson.loads((root / "kdvideo-manifest.summary.json").read_text())
    assert (summary["videos"], summary["usable"], sorted(summary["problems"])) == (20, 18, ["empty.avi", "text.mp4"])
    lines = describe_summary(summarise(checked.values())).splitlines()
    assert lines[0].split() == ["videos", "20"]
    assert "codecs    mpeg4 18" in lines
    assert lines[-1].startswith("  text.mp4: cannot be opened")


def test_a_check_goes_on_where_it_was(root: Path, probed: Path):
    """What is known is not looked at again, what has changed is; a torn line costs its video."""
    run(root)
    assert len(probed.read_text().splitlines()) == 18
    manifest = root / MANIFEST_NAME
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join([*lines[:10], lines[10][:40]]))
    os.utime(root / simplejson.loads(lines[0])["path"], ns=(1, 1))
    probed.write_text("")
    run(root)
    again = {Path(simplejson.loads(line)["path"]).name for line in (lines[0], *lines[10:])}
    assert set(probed.read_text().split()) == again
    assert len(read_manifest(manifest)) == 18


def test_parts_make_a_whole(root: Path, probed: Path):
    """Job arrays each take their part; a check of the whole joins them without looking again."""
    parts = [run(root, part=(i, 4)) for i in range(1, 5)]
    assert sum(map(len, parts)) == 18
    assert not (root / MANIFEST_NAME).exists()
    assert len(usable(root)) == 12  # training can do with the parts
    probed.write_text("")
    whole = run(root)
    assert probed.read_text() == ""
    assert whole == {name: entry for part in parts for name, entry in part.items()}
    assert [path.name for path in root.glob("*.jsonl")] == [MANIFEST_NAME]


def test_crashes_and_hangs_are_named(root: Path, probed: Path, monkeypatch: pytest.MonkeyPatch):
    """A reader that kills its process or never returns costs its file, not the check."""
    monkeypatch.setattr(check, "_GRACE", 0.5)
    for name in ("crash.avi", "hang.avi"):
        shutil.copyfile(root / GONE, root / name)
    checked = run(root, time_limit=4.0)
    assert checked["crash.avi"].probe.problem == "makes its reader crash (SIGKILL)"
    assert checked["hang.avi"].probe.problem.startswith("takes longer than 4 s: raise the limit")
    assert sum(entry.probe.problem is None for entry in checked.values()) == 18
    assert read_manifest(root / MANIFEST_NAME) == checked


def test_a_killed_check(root: Path):
    """SIGKILL, then the same command: all videos, one line each."""
    for i in range(82):
        shutil.copyfile(root / GONE, root / f"more_{i}.avi")
    manifest = root / MANIFEST_NAME
    command = [sys.executable, "-m", "kdvideo.cli", "data", "check", str(root), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (manifest.exists() and manifest.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert len(read_manifest(manifest)) < 100
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[:2] == ["videos", "100"]
    assert manifest.read_bytes().count(b"\n") == 100


def test_training_leaves_out_what_is_bad(root: Path, caplog: pytest.LogCaptureFixture):
    """Missing and broken videos are counted and named, with and without a manifest, and above a share refused."""
    broken = "BallRise/v_BallRise_g02_c01.avi"
    (root / GONE).unlink()
    (root / broken).write_bytes(b"no video")
    for _ in ("without", "with"):
        caplog.clear()
        videos = usable(root, max_bad_fraction=0.2)
        assert len(videos) == 10
        assert list(videos.num_frames) == [count_frames(record.path) for record in videos.records]
        assert "2 of 12 videos cannot be used and are left out" in caplog.text
        assert f"{GONE}: does not exist" in caplog.text
        assert f"{broken}: cannot be opened" in caplog.text
        with pytest.raises(ValueError, match=r"2 of 12 videos cannot be used, 16\.7%, and `max_bad"):
            usable(root, max_bad_fraction=0.15)
        run(root)


def test_a_run_looks_once(root: Path, probed: Path):
    """Without a manifest, what a run saw is remembered for the next; the dataset's folder is not written to."""
    before = sorted(root.rglob("*"))
    first = usable(root)
    assert len(probed.read_text().splitlines()) == 12
    probed.write_text("")
    assert usable(root) == first
    assert probed.read_text() == ""
    assert sorted(root.rglob("*")) == before


def test_a_given_manifest(root: Path, probed: Path, tmp_path: Path):
    """It may lie anywhere, since datasets often lie where one cannot write; one that is not there is refused."""
    elsewhere = tmp_path / "elsewhere" / "m.jsonl"
    run(root, manifest=elsewhere)
    assert sorted(path.name for path in elsewhere.parent.iterdir()) == ["m.jsonl", "m.summary.json"]
    assert not (root / MANIFEST_NAME).exists()
    probed.write_text("")
    assert len(usable(root, manifest=elsewhere)) == 12
    assert probed.read_text() == ""
    with pytest.raises(ValueError, match=r"`manifest` .*none\.jsonl does not exist"):
        usable(root, manifest=tmp_path / "none.jsonl")


def test_many_bad_ones_are_named_up_to_a_point(root: Path, caplog: pytest.LogCaptureFixture):
    """The log stays readable."""
    records = [VideoRecord(root / f"{i}.avi", f"{i}.avi", None) for i in range(30)]
    assert len(usable_videos(records, root, max_bad_fraction=1.0, num_workers=1)) == 0
    assert "19.avi: does not exist" in caplog.text
    assert "20.avi" not in caplog.text
    assert "and 10 more" in caplog.text
