"""A folder of proxies: lists, parts, resuming after kills, changed and broken sources."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from kdvideo.data.checking.manifest import MANIFEST_NAME, is_current, read_manifest
from kdvideo.data.datasets import ucf101
from kdvideo.data.datasets.records import find_videos
from kdvideo.data.proxies.dataset import write_proxies
from kdvideo.data.proxies.transcode import ProxyConfig
from kdvideo.data.readers.decode import count_frames
from kdvideo.files import file_sha256

CONFIG = ProxyConfig(short_side=32)


def prepare(source: Path, target: Path, **options):
    return write_proxies(source, target, config=CONFIG, num_workers=2, time_limit=60.0, **options)


@pytest.fixture
def source(tiny_dataset: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    shutil.copytree(tiny_dataset, folder)
    return folder


def times(target: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in target.rglob("*.mp4")}


def test_a_dataset_of_its_own(source: Path, tmp_path: Path):
    """The official lists find the proxies; the manifest holds for them and knows their sources."""
    target = tmp_path / "target"
    entries = prepare(source, target)
    assert sorted(entries) == [f"{name}.mp4" for name in find_videos(source)] == find_videos(target)
    for subset in ("train", "test"):
        for proxy, record in zip(*(ucf101(root, split=1, subset=subset) for root in (target, source)), strict=True):
            assert (proxy.name, proxy.class_id) == (record.name, record.class_id)
            entry = entries[proxy.path.relative_to(target).as_posix()]
            assert is_current(entry, target)
            assert entry.probe.frames == count_frames(record.path)
            assert entry.source["path"] == record.name
            assert entry.source["sha256"] == file_sha256(record.path)
    assert read_manifest(target / MANIFEST_NAME) == entries


def test_only_what_changed_is_written_again(source: Path, tmp_path: Path):
    """A new source, a damaged proxy, other settings; nothing else."""
    target = tmp_path / "target"
    names = sorted(prepare(source, target))
    before = times(target)
    prepare(source, target)
    assert times(target) == before
    shutil.copyfile(source / names[1].removesuffix(".mp4"), source / names[0].removesuffix(".mp4"))
    (target / names[2]).write_bytes(b"damaged")
    prepare(source, target)
    after = times(target)
    assert {name for name in after if after[name] != before[name]} == {Path(names[0]).name, Path(names[2]).name}
    write_proxies(source, target, config=ProxyConfig(short_side=40), num_workers=2, time_limit=60.0)
    assert all(time != after[name] for name, time in times(target).items())


def test_parts(source: Path, tmp_path: Path):
    """Each does its share; a last call for the whole writes no video and joins the manifests."""
    target = tmp_path / "target"
    parts = [prepare(source, target, part=(i, 3)) for i in (1, 2, 3)]
    before = times(target)
    assert len(before) == sum(map(len, parts)) == 18
    assert prepare(source, target) == {name: entry for part in parts for name, entry in part.items()}
    assert times(target) == before
    assert [path.name for path in target.glob("*.jsonl")] == [MANIFEST_NAME]


def test_a_broken_source_is_named_once(source: Path, tmp_path: Path):
    """It costs no other video, and its earlier proxy goes; it is tried again when it has changed."""
    target = tmp_path / "target"
    prepare(source, target)
    broken = source / "BallRoll" / "v_BallRoll_g01_c01.avi"
    good = broken.read_bytes()
    broken.write_bytes(good[:100])
    entries = prepare(source, target)
    problem = entries["BallRoll/v_BallRoll_g01_c01.avi.mp4"].probe.problem
    assert problem.startswith("no proxy, since BallRoll/v_BallRoll_g01_c01.avi cannot be opened")
    assert len(find_videos(target)) == 17
    assert prepare(source, target) == entries
    broken.write_bytes(good)
    assert all(entry.probe.problem is None for entry in prepare(source, target).values())


def test_killed_twice(source: Path, tmp_path: Path):
    """SIGKILL in the middle, twice: every file that is there is whole at any time, no leftover in the end."""
    target = tmp_path / "target"
    for i in range(40):
        shutil.copyfile(source / "BallRoll" / "v_BallRoll_g01_c01.avi", source / "BallRoll" / f"more_{i}.avi")
    command = [sys.executable, "-m", "kdvideo.cli", "data", "prepare", str(source), str(target), "--short-side", "32"]
    for at_least in (5, 20):
        process = subprocess.Popen([*command, "--workers", "2"], stderr=subprocess.DEVNULL)
        while len(read_manifest(target / MANIFEST_NAME)) < at_least:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        written = times(target)
        recorded = {Path(name).name for name in read_manifest(target / MANIFEST_NAME)}
        assert at_least <= len(recorded) < 58
        for path in target.rglob("*.mp4"):
            with av.open(str(path)) as container:
                assert sum(1 for _ in container.decode(video=0)) in (64, 65, 66)
    (target / "BallRoll" / ".more_3.avi.mp4.abcdefgh.tmp").write_bytes(b"left over")
    entries = prepare(source, target)
    assert len(find_videos(target)) == len(entries) == 58
    kept = {name for name, changed in times(target).items() if written.get(name) == changed}
    assert kept == recorded  # a file without a line about it was written again
    assert not [path for path in target.rglob(".*") if not path.name.endswith(".lock")]


@pytest.mark.parametrize(
    ("source_name", "target_name", "message"),
    [
        ("none", "target", "none is not a folder"),
        ("source", "source", "neither folder may lie in the other"),
        ("source", "source/proxies", "neither folder may lie in the other"),
        ("source/BallRoll", "source", "neither folder may lie in the other"),
        ("empty", "target", "has no videos"),
    ],
)
def test_folders_that_cannot_be(source: Path, tmp_path: Path, source_name: str, target_name: str, message: str):
    """One line each."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / source_name, tmp_path / target_name)


def test_two_sources_of_one_name(source: Path, tmp_path: Path):
    """a.avi and a.avi.mp4 would be one file."""
    shutil.copyfile(source / "BallRoll/v_BallRoll_g01_c01.avi", source / "BallRoll/v_BallRoll_g01_c01.avi.mp4")
    with pytest.raises(ValueError, match="whose proxies would be one file"):
        prepare(source, tmp_path / "target")
