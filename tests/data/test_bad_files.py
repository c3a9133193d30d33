"""Files that the system does not give: each is a problem of its own, in one line, and the others go on."""

import ctypes
import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import simplejson

from kdvideo.data.checking import look
from kdvideo.data.checking.check import check_dataset, usable_videos
from kdvideo.data.checking.manifest import MANIFEST_NAME, ManifestEntry, read_manifest
from kdvideo.data.datasets import VideoRecord
from kdvideo.data.datasets.records import find_videos
from kdvideo.data.proxies import dataset as prepare
from kdvideo.data.proxies.dataset import write_proxies
from kdvideo.data.proxies.transcode import ProxyConfig
from kdvideo.data.readers import file_errors
from kdvideo.data.readers.decode import count_frames
from kdvideo.data.readers.probe import VideoProbe
from kdvideo.files import remove_temporaries, write_text

LONG = "n" * 240  # with .avi and the proxy's .mp4 248 bytes: a name, but its temporary file's would be 262
TOO_LONG = "n" * 251  # with .avi a name, with .mp4 none


@pytest.fixture
def good(tiny_dataset: Path) -> Path:
    return tiny_dataset / "BallRoll/v_BallRoll_g01_c01.avi"


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    """Two good videos around what a system does not give; /proc/self/mem is a file that fails with EIO when read."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    for name in ("a.avi", "z.avi"):
        shutil.copyfile(good, folder / name)
    (folder / "dangling.avi").symlink_to("nowhere.avi")
    (folder / "damaged_disk.avi").symlink_to("/proc/self/mem")
    return folder


def prepare_all(source: Path, target: Path, **options) -> dict[str, ManifestEntry]:
    return write_proxies(source, target, config=ProxyConfig(short_side=32), num_workers=2, **options)


def test_prepare_names_each(root: Path, good: Path, tmp_path: Path):
    """A dangling link and a disk that fails cost their own proxies; they are tried again the next time."""
    target = tmp_path / "proxies"
    entries = prepare_all(root, target, time_limit=60.0)
    assert {name: entry.probe.problem for name, entry in entries.items()} == {
        "a.avi.mp4": None,
        "z.avi.mp4": None,
        "dangling.avi.mp4": "no proxy, since dangling.avi is a link to nowhere.avi, which does not exist",
        "damaged_disk.avi.mp4": "no proxy, since damaged_disk.avi cannot be opened: Input/output error",
    }
    assert entries["z.avi.mp4"].probe.frames == count_frames(good)
    assert sorted(read_manifest(target / MANIFEST_NAME)) == ["a.avi.mp4", "z.avi.mp4"]
    shutil.copyfile(good, root / "nowhere.avi")
    assert prepare_all(root, target, time_limit=60.0)["dangling.avi.mp4"].probe.frames == count_frames(good)


def test_an_outage_of_the_source_keeps_the_proxies(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """ESTALE while a changed source is read: its earlier proxy is not thrown away for that."""
    target = tmp_path / "proxies"
    prepare_all(root, target, time_limit=60.0)
    before = (target / "a.avi.mp4").read_bytes()

    def stale(path: Path) -> str:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    os.utime(root / "a.avi", ns=(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "file_sha256", stale)
        problem = prepare_all(root, target, time_limit=60.0)["a.avi.mp4"].probe.problem
    assert problem == "no proxy, since a.avi cannot be opened: Stale file handle"
    assert (target / "a.avi.mp4").read_bytes() == before
    assert prepare_all(root, target, time_limit=60.0)["a.avi.mp4"].probe.problem is None


def test_names_as_long_as_a_file_may_have(good: Path, tmp_path: Path):
    """A proxy whose temporary name would be too long is written; one whose own name is, is its source's problem."""
    root, target = tmp_path / "dataset", tmp_path / "proxies"
    root.mkdir()
    for name in (LONG, TOO_LONG, "z"):
        shutil.copyfile(good, root / f"{name}.avi")
    entries = prepare_all(root, target, time_limit=60.0)
    problems = {name: entry.probe.problem for name, entry in entries.items()}
    assert (problems[f"{LONG}.avi.mp4"], problems["z.avi.mp4"]) == (None, None)
    assert (
        "would have a proxy whose name the target cannot have (File name too long)" in problems[f"{TOO_LONG}.avi.mp4"]
    )
    assert find_videos(target) == [f"{LONG}.avi.mp4", "z.avi.mp4"]
    assert prepare_all(root, target, time_limit=60.0) == entries


def test_temporary_names_are_short_enough(tmp_path: Path):
    """And what a killed process leaves of them is found by the whole name."""
    for name in ("n" * 255, "é" * 127):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
        left = tmp_path / f".{name[: 241 // len(name[0].encode())]}.abcdefgh.tmp"
        left.touch()
        remove_temporaries(tmp_path, of=["another"])
        assert left.exists()
        remove_temporaries(tmp_path, of=[name])
        assert not left.exists()


def test_a_full_disk_is_the_commands(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No other video would fare better: it ends, and names what cannot be written."""

    def full(source: Path, target: Path, config: ProxyConfig, *, time_limit: float) -> VideoProbe:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prepare, "write_proxy", full)
    with pytest.raises(OSError, match=r"proxies/\w\.avi\.mp4 cannot be written: No space left on device") as caught:
        prepare_all(root, tmp_path / "proxies", time_limit=60.0)
    assert caught.value.errno == errno.ENOSPC


def test_check_and_training_name_each(root: Path, good: Path, caplog: pytest.LogCaptureFixture):
    """A listed name that no file can have is one of them; nothing of this is remembered."""
    names = [*find_videos(root), "n" * 300 + ".avi"]
    problems = {
        "dangling.avi": "is a link to nowhere.avi, which does not exist",
        "damaged_disk.avi": "cannot be opened: Input/output error",
        "n" * 300 + ".avi": "cannot be opened: File name too long",
    }
    records = [VideoRecord(root / name, name, None) for name in names]
    videos = usable_videos(records, root, max_bad_fraction=0.9, num_workers=2)
    assert [record.name for record in videos.records] == ["a.avi", "z.avi"]
    for name, problem in problems.items():
        assert f"{name}: {problem}" in caplog.text
    checked = check_dataset(root, names, num_workers=2)
    assert {name: entry.probe.problem for name, entry in checked.items() if entry.probe.problem} == problems
    assert sorted(read_manifest(root / MANIFEST_NAME)) == ["a.avi", "z.avi"]


def test_a_disk_that_fails_in_the_middle(root: Path, monkeypatch: pytest.MonkeyPatch):
    """FFmpeg takes it for a damaged file; it is not remembered as one."""

    class Failing(io.RawIOBase):
        calls = 0

        def read(self, size: int = -1) -> bytes:
            self.calls += 1
            if self.calls > 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return b"byte"

    damaged = VideoProbe(problem="cannot be opened: Invalid data found when processing input")
    monkeypatch.setattr(look, "probe", lambda path, *, time_limit: damaged)
    assert look.look_at(root / "a.avi") == (damaged, True)
    monkeypatch.setattr(file_errors, "open", lambda *arguments, **options: Failing(), raising=False)
    assert look.look_at(root / "a.avi") == (VideoProbe(problem="cannot be opened: Input/output error"), False)


@pytest.fixture
def forbidden(root: Path, good: Path) -> Iterator[Path]:
    """A dataset with a file and a folder of which not a byte may be read."""
    for name in ("dangling.avi", "damaged_disk.avi"):
        (root / name).unlink()
    (root / "closed").mkdir()
    shutil.copyfile(good, root / "closed/in_it.avi")
    shutil.copyfile(good, root / "secret.avi").chmod(0)
    (root / "list.txt").write_text("z.avi")
    (root / "list.txt").chmod(0)
    (root / "closed").chmod(0o644)
    yield root
    (root / "closed").chmod(0o755)


SCRIPT = """
import contextlib, io, json, os, sys
from kdvideo.cli import main
done = []
for arguments in json.loads(sys.argv[1]):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        result = os.chmod(arguments[1], int(arguments[2], 8)) if arguments[0] == "chmod" else main(arguments)
    done.append((result, out.getvalue(), error.getvalue()))
print(json.dumps(done))
"""


def run_without_privileges(*commands: Sequence[object]) -> list[tuple[int, str, str]]:
    """Runs commands, and chmod, where permissions count: root gives away what makes it read everything (Linux).

    Returns:
        What each returned, and wrote to its two outputs.
    """
    command = [sys.executable, "-c", SCRIPT, simplejson.dumps([[str(part) for part in one] for one in commands])]
    give_away = _give_privileges_away if os.geteuid() == 0 else None
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=give_away)
    return [tuple(one) for one in simplejson.loads(done.stdout)]


def _give_privileges_away() -> None:
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP: they are gone when the command starts
            os._exit(77)


@pytest.fixture
def permissions_count(forbidden: Path) -> None:
    command = [sys.executable, "-c", f"open({str(forbidden / 'secret.avi')!r})"]
    give_away = _give_privileges_away if os.geteuid() == 0 else None
    if b"PermissionError" not in subprocess.run(command, stderr=subprocess.PIPE, preexec_fn=give_away).stderr:
        pytest.skip("this user may read files of mode 000")


@pytest.mark.usefixtures("permissions_count")
def test_files_without_permission(forbidden: Path, tmp_path: Path):
    """Check, prepare, embed and predict name both; the other two videos go on."""
    refused = "cannot be opened: Permission denied"
    checked, prepared, embedded, predicted = run_without_privileges(
        ["data", "check", forbidden],
        ["data", "prepare", forbidden, tmp_path / "proxies", "--short-side", "32"],
        ["embed", forbidden, "--out", tmp_path / "t.parquet", "--clips", "1"],
        ["predict", forbidden, forbidden / "closed/in_it.avi", "--json"],
    )
    assert checked[0] == 0
    assert checked[1].startswith("videos    4\nusable    2\n")
    assert checked[1].endswith(f"problems  2\n  closed/in_it.avi: {refused}\n  secret.avi: {refused}\n")
    assert prepared[0] == 0
    assert prepared[2] == f"list {forbidden}/list.txt is not copied: it {refused}\n"
    first, *problems = prepared[1].splitlines()
    assert first.startswith("2 proxies, ")
    assert first.endswith("; 2 videos without one")
    assert sorted(problems) == [
        f"  {name}.mp4: no proxy, since {name} {refused}" for name in ("closed/in_it.avi", "secret.avi")
    ]
    summary = f"{tmp_path}/t.parquet: 4 videos, 2 without a feature (column problem says why)\n"
    assert embedded[:2] == (0, summary)
    answers = [simplejson.loads(line) for line in predicted[1].splitlines()]
    assert predicted[0] == 1
    assert [one["problem"] for one in answers] == [None, refused, refused, None, refused]


@pytest.mark.usefixtures("permissions_count")
def test_a_manifest_does_not_open_files(forbidden: Path):
    """What could be read when it was written and cannot be now is left out before a run starts; and the reverse."""
    check, secret = ["data", "check", forbidden], forbidden / "secret.avi"
    (forbidden / "closed").chmod(0o755)
    done = run_without_privileges(
        ["chmod", secret, "644"], check, ["chmod", secret, "0"], check, ["chmod", secret, "644"], check
    )
    usable = [out.splitlines()[1] for _, out, _ in done[1::2]]
    assert usable == ["usable    4", "usable    3", "usable    4"]
    assert done[3][1].endswith("secret.avi: cannot be opened: Permission denied\n")
