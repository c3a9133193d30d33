"""Fetching an entry's weights: once for many processes, mirrors, offline, by hand, hashes that nobody published."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import faulty_server as fault
import pytest
import torch
from faulty_server import FaultyServer, serve
from tiny_zoo import NAME, fetch_by_name, fork, publish_tiny, weights_file

import kdvideo
from kdvideo.files import file_sha256
from kdvideo.zoo import remote
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.fetch import download_path, fetch_entry, recorded_hash, take_file
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.remote import ReadOnlyHandler
from kdvideo.zoo.sources import resolve_weights

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def published(server: FaultyServer) -> ZooEntry:
    """An entry whose weights are on the server only."""
    _, entry = publish_tiny()
    shutil.move(weights_file(entry), server.folder)
    return write(entry, urls=[f"{server.address}/{entry.file}"])


def write(entry: ZooEntry, **changes) -> ZooEntry:
    entry = dataclasses.replace(entry, **changes)
    Zoo.user().write(entry)
    return entry


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_name_is_enough(server: FaultyServer, published: ZooEntry):
    """`pretrained=True` fetches what is missing, once; the second time needs no server."""
    server.faults = [fault.truncate, fault.status(503)]
    kdvideo.create_model(NAME, pretrained=True)
    (server.folder / published.file).unlink()
    kdvideo.create_model(NAME, pretrained=True)
    assert server.requests == {published.file: 3}


def test_eight_processes_download_once(server: FaultyServer, published: ZooEntry):
    """The others wait for the first and use its file."""
    processes = [fork(fetch_by_name, NAME) for _ in range(8)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert server.requests == {published.file: 1}
    assert file_sha256(download_path(published)) == published.sha256


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([fault.wrong_bytes], "sha256 .* nothing was kept"),
        ([fault.web_page], "bytes, expected .* nothing was kept"),
        ([fault.status(403)], "HTTP Error 403"),
    ],
)
def test_what_cannot_be_had(server: FaultyServer, published: ZooEntry, faults: list, message: str):
    """One line with the model's name; nothing stays that could be taken for the file."""
    server.faults = faults
    with pytest.raises(ValueError, match=rf"weights of {NAME}: .*{message}") as error:
        kdvideo.create_model(NAME, pretrained=True)
    assert "\n" not in str(error.value)
    assert not download_path(published).exists()


def test_an_unknown_hash_is_recorded_and_compared(server: FaultyServer, published: ZooEntry):
    """Also when the file has been removed meanwhile; damage on this machine is repaired by the right file."""
    entry = write(published, sha256=None, size=None)
    assert resolve_weights(NAME).sha256 == published.sha256
    recorded = recorded_hash(NAME)
    assert recorded is not None
    assert (recorded.sha256, recorded.source) == (published.sha256, published.urls[0])
    damage(download_path(entry))
    with pytest.raises(ValueError, match="nothing was loaded"):
        resolve_weights(NAME)
    fetch_entry(entry)
    assert resolve_weights(NAME).sha256 == published.sha256
    download_path(entry).unlink()
    damage(server.folder / entry.file)
    with pytest.raises(ValueError, match="nothing was kept"):
        fetch_entry(entry)
    assert recorded_hash(NAME) == recorded


@pytest.mark.parametrize("digits", [8, 20])
def test_a_partial_hash_is_used_and_completed(published: ZooEntry, digits: int):
    """The publisher's digits are held against the first download, all digits against the next."""
    entry = write(published, sha256=published.sha256[:digits])
    assert not entry.is_verified
    resolve_weights(NAME)
    recorded = recorded_hash(NAME)
    assert recorded is not None
    assert recorded.sha256 == published.sha256
    download_path(entry).unlink()
    write(published, sha256="0" * digits)
    with pytest.raises(ValueError, match="expected 0000"):
        resolve_weights(NAME)


def test_a_web_page_is_no_file(server: FaultyServer, published: ZooEntry):
    """What a drive answers to a program is not recorded as the weights' hash."""
    write(published, sha256=None, size=None)
    server.faults = [fault.web_page]
    with pytest.raises(ValueError, match="is a web page, not a file of weights"):
        resolve_weights(NAME)
    assert recorded_hash(NAME) is None


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[FaultyServer]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    with serve(folder) as running:
        yield running


def test_a_mirror_is_tried_first(
    server: FaultyServer, mirror: FaultyServer, published: ZooEntry, monkeypatch: pytest.MonkeyPatch
):
    """The entry's own address is asked only for what the mirror has not, or has wrong."""
    monkeypatch.setenv("KDVIDEO_MIRROR", f"{mirror.address}/")
    shutil.copy(server.folder / published.file, mirror.folder)
    resolve_weights(NAME)
    assert (sum(mirror.requests.values()), sum(server.requests.values())) == (1, 0)
    for spoil in (damage, Path.unlink):
        download_path(published).unlink()
        spoil(mirror.folder / published.file)
        assert resolve_weights(NAME).sha256 == published.sha256
    assert (sum(mirror.requests.values()), sum(server.requests.values())) == (3, 2)


def test_offline(server: FaultyServer, published: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No request; a folder as mirror works, as does what has been fetched before."""
    monkeypatch.setenv("KDVIDEO_OFFLINE", "1")
    with pytest.raises(ValueError, match=f"KDVIDEO_OFFLINE forbids .* `kdvideo zoo fetch {NAME} --from FILE`"):
        resolve_weights(NAME)
    with pytest.raises(ValueError, match="KDVIDEO_OFFLINE forbids"):
        resolve_weights(f"{server.address}/{published.file}")
    monkeypatch.setenv("KDVIDEO_MIRROR", str(server.folder))
    kdvideo.create_model(NAME, pretrained=True)
    monkeypatch.delenv("KDVIDEO_MIRROR")
    kdvideo.create_model(NAME, pretrained=True)
    assert not server.requests


def test_files_got_by_hand(server: FaultyServer, published: ZooEntry, tmp_path: Path):
    """The steps are said; then the right file is taken and another one refused."""
    entry = write(published, urls=[], sha256=None, manual="open https://drive.example and download it")
    with pytest.raises(ValueError, match=rf"no program can fetch them: open .*zoo fetch {NAME} --from {entry.file}`"):
        resolve_weights(NAME)
    with pytest.raises(ValueError, match="does not exist"):
        take_file(entry, tmp_path / "missing")
    (tmp_path / "page.html").write_bytes(b"<html>".ljust(entry.size or 0))
    with pytest.raises(ValueError, match="is a web page"):
        take_file(entry, tmp_path / "page.html")
    take_file(entry, server.folder / entry.file)
    assert resolve_weights(NAME).sha256 == published.sha256
    (tmp_path / "other").write_bytes(bytes(entry.size or 0))
    download_path(entry).unlink()
    with pytest.raises(ValueError, match="it is another file, nothing was kept"):
        take_file(entry, tmp_path / "other")


class MemoryStore(ReadOnlyHandler):
    """Stands for a store that cannot be had here: hands out a folder's files under its own scheme."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _get_supported_prefixes(self) -> list[str]:
        return ["store://"]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: object) -> str:
        return str(self.folder / path.removeprefix("store://"))


def test_other_schemes_go_through_iopath(server: FaultyServer, published: ZooEntry, monkeypatch: pytest.MonkeyPatch):
    """A registered handler's scheme works in entries and as a source; an unknown one is refused."""
    monkeypatch.setattr(remote.PATH_MANAGER, "_path_handlers", dict(remote.PATH_MANAGER._path_handlers))
    remote.PATH_MANAGER.register_handler(MemoryStore(server.folder))
    write(published, urls=[f"store://{published.file}"])
    kdvideo.create_model(NAME, pretrained=True)
    assert resolve_weights(f"store://{published.file}").sha256 == published.sha256
    download_path(published).unlink()
    write(published, urls=["ftp://h/x"])
    with pytest.raises(ValueError, match=r"ftp://h/x: choose .* store://"):
        resolve_weights(NAME)
    assert not server.requests


@pytest.mark.parametrize(("address", "package"), [("s3://b/x.safetensors", "boto3"), ("hf://o/r/x.pt", "huggingface")])
def test_optional_packages_are_named(address: str, package: str, monkeypatch: pytest.MonkeyPatch):
    """The scheme is known, its package is not there."""
    monkeypatch.setattr(remote.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"needs {package}.*: pip install"):
        resolve_weights(address)


def test_features_are_the_same_after_the_way(published: ZooEntry, server: FaultyServer):
    """From the server's file directly and through the zoo."""
    clip = torch.randn(1, 3, 4, 32, 32)
    direct = kdvideo.create_model(NAME)
    kdvideo.load_pretrained(direct, str(server.folder / published.file))
    fetched = kdvideo.create_model(NAME, pretrained=True)
    with torch.no_grad():
        assert torch.equal(direct.eval()(clip), fetched.eval()(clip))
