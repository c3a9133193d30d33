"""Downloads from a server that misbehaves: the right file or one clear error, and never part of a file."""

import hashlib
import socket
from pathlib import Path

import faulty_server as fault
import pytest
from faulty_server import FaultyServer

from kdvideo.zoo.download import download

CONTENT = hashlib.shake_256(b"weights").digest(3 << 20)  # several reads long
SHA256 = hashlib.sha256(CONTENT).hexdigest()

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def _weights(server: FaultyServer) -> None:
    (server.folder / "weights.bin").write_bytes(CONTENT)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "home" / "weights.bin"


def fetch(server: FaultyServer, target: Path, **kwargs) -> None:
    download(f"{server.address}/weights.bin", target, **kwargs)


def assert_whole(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


KNOWN = ({}, {"sha256": SHA256}, {"size": len(CONTENT)}, {"sha256": SHA256[:8]})


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [fault.truncate],
        [fault.drop],
        [fault.hang_up],
        [fault.truncate, fault.drop, fault.hang_up, fault.truncate],
        [fault.status(500), fault.status(503, Retry_After="1")],
        [fault.status(302, Location="/weights.bin"), fault.status(307, Location="/weights.bin"), fault.truncate],
        [fault.chunked(1)],
        [fault.chunked(0.5)],
    ],
)
def test_what_goes_away_is_got_over(server: FaultyServer, target: Path, faults: list, known: dict):
    """Ends, resets, errors of the moment, redirects and chunks: the right file, nothing beside it."""
    server.faults = list(faults)
    fetch(server, target, **known)
    assert_whole(target)
    assert server.faults == []


@pytest.mark.usefixtures("short_silence")
@pytest.mark.parametrize("known", KNOWN)
def test_a_moment_of_silence_is_got_over(server: FaultyServer, target: Path, known: dict):
    """The right file, nothing beside it."""
    server.faults = [fault.stall]
    fetch(server, target, **known)
    assert_whole(target)
    assert server.faults == []


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([fault.status(403)], "cannot be downloaded: HTTP Error 403"),
        ([fault.status(404)], "cannot be downloaded: HTTP Error 404"),
        ([fault.status(500)] * 9, r"cannot be downloaded: HTTP Error 500.* \(tried 3 times\)"),
        ([fault.status(302, Location="/weights.bin")] * 99, "cannot be downloaded: HTTP Error 302.*infinite loop"),
        ([fault.status(302, Location="file:///etc/passwd")], "cannot be downloaded: HTTP Error 302"),
        ([fault.status(204)] * 9, "cannot be downloaded: the server has no continuation"),
        ([fault.wrong_bytes], "sha256 .* expected .* nothing was kept"),
        ([fault.hang_up] * 9, r"cannot be downloaded: .* \(tried 3 times\)"),
        ([fault.undelimited(0.5)] * 9, r"cannot be downloaded: it has sha256 .* \(tried 3 times\)"),
    ],
)
def test_what_does_not_go_away_is_one_error(server: FaultyServer, target: Path, faults: list, message: str):
    """One line that names the address; no file."""
    server.faults = list(faults)
    server.has_ranges = server.has_versions = False  # or a continuation would be tried
    with pytest.raises(ValueError, match=message) as error:
        fetch(server, target, sha256=SHA256)
    assert "\n" not in str(error.value)
    assert server.address in str(error.value)
    assert not target.exists()


@pytest.mark.usefixtures("short_silence")
def test_silence_is_one_error(server: FaultyServer, target: Path):
    """Three times half a file and no more: no file."""
    server.faults = [fault.stall] * 9
    server.has_ranges = server.has_versions = False
    with pytest.raises(ValueError, match=r"downloaded: the server stopped sending \(tried 3 times\)") as error:
        fetch(server, target, sha256=SHA256)
    assert server.address in str(error.value)
    assert not target.exists()


def test_resuming_asks_for_the_rest_only(server: FaultyServer, target: Path):
    """After half a file, the second request begins in its middle."""
    server.faults = [fault.truncate]
    fetch(server, target)
    assert_whole(target)
    assert server.ranges == ["", f"bytes={len(CONTENT) // 2}-"]


def test_the_next_process_resumes(server: FaultyServer, target: Path):
    """What an attempt leaves behind is used by the next call, also where all had arrived."""
    server.faults = [fault.truncate, *[fault.status(500)] * 3]
    with pytest.raises(ValueError, match="500"):
        fetch(server, target)
    assert not target.exists()
    fetch(server, target)
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"
    assert_whole(target)
    # as after a kill between the last byte and the new name
    server.faults = [fault.truncate, *[fault.status(500)] * 3]
    target.unlink()
    with pytest.raises(ValueError, match="500"):
        fetch(server, target)
    (target.parent / f".{target.name}.part").write_bytes(CONTENT)
    fetch(server, target)
    assert server.ranges[-1] == f"bytes={len(CONTENT)}-"
    assert_whole(target)


def test_two_versions_are_never_joined(server: FaultyServer, target: Path):
    """The file is replaced between two attempts: the new one is taken, whole, though no hash is known."""
    server.faults = [fault.truncate, *[fault.status(500)] * 3]
    with pytest.raises(ValueError, match="500"):
        fetch(server, target)
    other = bytes(reversed(CONTENT))
    (server.folder / "weights.bin").write_bytes(other)
    fetch(server, target)
    assert target.read_bytes() == other


@pytest.mark.parametrize("sha256", ["", SHA256])
def test_a_server_without_versions(server: FaultyServer, target: Path, sha256: str):
    """Continued only where the hash can tell that the halves belong together."""
    server.has_versions = False
    server.faults = [fault.truncate]
    fetch(server, target, sha256=sha256)
    assert_whole(target)
    assert server.ranges == ["", f"bytes={len(CONTENT) // 2}-" if sha256 else ""]


def test_a_damaged_first_half_is_not_kept_for_ever(server: FaultyServer, target: Path):
    """A joined file of the wrong hash is fetched again from its beginning."""
    server.faults = [fault.truncate, *[fault.status(500)] * 3]
    with pytest.raises(ValueError, match="500"):
        fetch(server, target, sha256=SHA256)
    part = target.parent / f".{target.name}.part"
    part.write_bytes(bytes(part.stat().st_size))
    fetch(server, target, sha256=SHA256)
    assert_whole(target)


def test_a_server_without_ranges(server: FaultyServer, target: Path):
    """Starts again from the beginning."""
    server.has_ranges = False
    server.faults = [fault.truncate, fault.drop]
    fetch(server, target)
    assert_whole(target)


def test_a_file_of_unknown_length_needs_a_hash(server: FaultyServer, target: Path):
    """Nothing else tells part from whole when the connection's end is the file's end."""
    server.faults = [fault.undelimited(0.5)]
    with pytest.raises(ValueError, match="does not say how long the file is"):
        fetch(server, target)
    assert not target.exists()
    for known in ({"sha256": SHA256}, {"size": len(CONTENT)}):
        server.faults = [fault.undelimited(0.5), fault.undelimited(1)]
        fetch(server, target, **known)
        assert_whole(target)
        target.unlink()


def test_another_size_is_refused_before_it_is_fetched(server: FaultyServer, target: Path):
    """The entry says how long the file is."""
    with pytest.raises(ValueError, match=f"has {len(CONTENT)} bytes, expected 7: it is another file"):
        fetch(server, target, size=7)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:1/x", r"refused \(tried 3 times\)"),
        ("http://no-such-host.invalid/x", "cannot be downloaded"),
        ("http://h:abc/x", "nonnumeric port"),
        ("http:///x", "no host given"),
    ],
)
def test_addresses_without_a_server(target: Path, address: str, message: str):
    """One line each."""
    with pytest.raises(ValueError, match=message) as error:
        download(address, target)
    assert "\n" not in str(error.value)
    assert not target.exists()


@pytest.mark.usefixtures("short_silence")
def test_a_connection_that_nobody_answers(target: Path):
    """A server that accepts and says nothing costs `attempts * timeout`, not for ever."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ValueError, match=r"timed out \(tried 3 times\)"),
    ):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/x", target)
    assert not target.exists()


def test_a_disk_that_cannot_be_written(server: FaultyServer, tmp_path: Path):
    """The system's own error, not a retry."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fetch(server, tmp_path / "file" / "weights.bin")
    assert sum(server.requests.values()) == 0
