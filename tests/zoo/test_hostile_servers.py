"""Servers and shared folders of an attacker: files without an end, redirects elsewhere, links where downloads go."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import simplejson
from faulty_server import FaultyServer, _Handler, status
from tiny_zoo import NAME, publish_tiny

from kdvideo.cli import main
from kdvideo.paths import user_zoo
from kdvideo.zoo import download
from kdvideo.zoo.download import DownloadPolicy
from kdvideo.zoo.fetch import fetch_address
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.manage import adopt_entry, entry_states

CONTENT = bytes(range(256)) * 1000
SHA256 = "8a2bb8d9e1e1e2b8"  # of another file: what is sent is never right
LIMIT = 1 << 20


def endless(handler: _Handler, content: bytes) -> None:
    """Chunks until the other side hangs up, or 64 MB, so that a test which fails ends."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    chunk = b"%x\r\n" % (1 << 16) + bytes(1 << 16) + b"\r\n"
    for _ in range(1024):
        handler.wfile.write(chunk)
    handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = True


def petabytes(handler: _Handler, content: bytes) -> None:
    """Announces them."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**15))
    handler.end_headers()
    handler.close_connection = True


@pytest.fixture
def target(server: FaultyServer, tmp_path: Path) -> Path:
    (server.folder / "weights.bin").write_bytes(CONTENT)
    return tmp_path / "weights.bin"


@pytest.mark.parametrize("size", [1000, None])
def test_a_file_without_an_end(server: FaultyServer, target: Path, size: int | None):
    """The disk filled up: a length that is known beforehand, or the policy's limit, ends it soon after."""
    server.faults = [endless]
    policy = DownloadPolicy(attempts=1) if size else DownloadPolicy(attempts=1, most_bytes=LIMIT)
    with pytest.raises(ValueError, match=rf"sends more than the {size or LIMIT} bytes that it should have"):
        download.download(f"{server.address}/weights.bin", target, sha256=SHA256, size=size, policy=policy)
    assert list(target.parent.glob(".*")) == []


def test_a_length_of_petabytes(server: FaultyServer, target: Path):
    """Refused before the first byte is written."""
    server.faults = [petabytes]
    with pytest.raises(ValueError, match=f"has {10**15} bytes, more than the {64 << 30} that are fetched"):
        download.download(f"{server.address}/weights.bin", target, sha256=SHA256, policy=DownloadPolicy(attempts=1))


def test_an_answer_without_a_byte(server: FaultyServer, target: Path):
    """It is another file than its hash says, not one that is not there."""
    server.faults = [status(200)]
    with pytest.raises(ValueError, match=r"it has sha256 e3b0c44298fc1c14\.\.\., expected 8a2bb8d9"):
        download.download(f"{server.address}/weights.bin", target, sha256=SHA256, policy=DownloadPolicy(attempts=1))


def test_an_entry_without_an_end(server: FaultyServer):
    """An entry has some KB."""
    (server.folder / "a.json").write_text("{}")
    server.faults = [endless]
    with pytest.raises(ValueError, match=f"sends more than the {4 << 20} bytes"):
        adopt_entry(f"{server.address}/a.json", zoo=Zoo.user())


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1:1/x", "data:,x", "gopher://x"])
def test_redirects_out_of_the_web(server: FaultyServer, target: Path, address: str):
    """Python's own opener follows one to ftp://."""
    server.faults = [status(302, Location=address)]
    with pytest.raises(ValueError, match=f"(it redirects from http to|Redirection to url) '?{address}"):
        download.download(f"{server.address}/weights.bin", target, policy=DownloadPolicy(attempts=1))


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_where_a_part_should_be(server: FaultyServer, target: Path, link):
    """In a folder that others can write to: what arrived was appended to any file of the user's."""
    precious = target.parent / "precious"
    precious.write_bytes(CONTENT[:1000])
    precious.chmod(0o600)
    link(precious, target.with_name(".weights.bin.part"))
    url = f"{server.address}/weights.bin"
    target.with_name(".weights.bin.part.json").write_text(simplejson.dumps({"url": url, "version": ""}))
    download.download(url, target, sha256=hashlib.sha256(CONTENT).hexdigest(), policy=DownloadPolicy(attempts=1))
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()
    assert precious.read_bytes() == CONTENT[:1000]
    assert precious.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"url": 1}', "[" * 100_000, '{"url": "URL", "version": "a\\r\\nb: c"}']
)
def test_a_description_of_a_part_that_is_none(server: FaultyServer, target: Path, text: str):
    """It begins anew; nothing of it gets into a request."""
    url = f"{server.address}/weights.bin"
    target.with_name(".weights.bin.part").write_bytes(b"x")
    target.with_name(".weights.bin.part.json").write_text(text.replace("URL", url))
    download.download(url, target, policy=DownloadPolicy(attempts=1))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("text", ["[]", "{}", "{", "[" * 100_000, '{"sha256": 5, "size": 1, "source": "", "date": ""}'])
def test_a_record_that_is_none(text: str, capsys: pytest.CaptureFixture):
    """It says which file it is, since without it another file would be believed."""
    _, entry = publish_tiny()
    Zoo.user().write(replace(entry, sha256=None))
    record = user_zoo() / "recorded" / f"{NAME}.json"
    record.parent.mkdir()
    record.write_text(text)
    assert main(["zoo", "show", NAME]) == 2
    assert f"{record} is no record of a hash" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is no record of a hash"):
        [state.hash_state for state in entry_states()]


def test_a_link_where_a_lock_should_be(tmp_path: Path):
    """The file that it leads to is neither emptied nor locked."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    user_zoo().mkdir(parents=True)
    (user_zoo() / ".lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        publish_tiny()
    assert precious.read_text() == "precious"


def test_links_in_a_zoo_are_replaced_not_followed(tmp_path: Path):
    """An entry and the table that lead to other files of the user's."""
    publish_tiny()
    for name in (f"entries/{NAME}.json", "MODEL_ZOO.md"):
        precious = tmp_path / Path(name).name
        shutil.copy(user_zoo() / name, precious)
        precious.chmod(0o600)
        (user_zoo() / name).unlink()
        (user_zoo() / name).symlink_to(precious)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    publish_tiny("b.two")
    publish_tiny(config="SEED: 1\n", replace=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in before)
    assert not (user_zoo() / "MODEL_ZOO.md").is_symlink()


@pytest.mark.parametrize("path", ["a", "../x/y", "a/b/../../../etc/passwd", "a/b//etc/passwd", "/x/y"])
def test_hub_addresses_that_lead_elsewhere(path: str):
    """They are refused before anybody is asked."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub, which refuses them, is not installed")
    with pytest.raises(ValueError, match=r"cannot be fetched: (.* names no file of a repo|Invalid filename)"):
        fetch_address(f"hf://{path}")
