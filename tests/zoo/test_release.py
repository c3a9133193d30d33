"""Release, serve, fetch: somebody else gets the same model."""

import subprocess
from pathlib import Path

import pytest
import torch
from faulty_server import FaultyServer
from tiny_zoo import NAME, publish_tiny, weights_file

import kdvideo
from kdvideo.cli import main
from kdvideo.zoo import remote
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.release import release
from kdvideo.zoo.remote import ReadOnlyHandler


def test_release_serve_fetch(
    server: FaultyServer,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    """Another home fetches the entry by its address, and its features are the publisher's, bit for bit."""
    model, entry = publish_tiny()
    publish_tiny("other.one")
    assert main(["zoo", "release", str(server.folder), "--url", server.address]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names[2:] == ["MODEL_ZOO.md", "SHA256SUMS", "other.one.json", f"{NAME}.json"]
    assert sorted(path.name for path in server.folder.iterdir()) == sorted(names)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=server.folder, check=True)

    monkeypatch.setenv("KDVIDEO_HOME", str(tmp_path_factory.mktemp("other_home")))
    assert NAME not in kdvideo.list_models()
    assert main(["zoo", "fetch", f"{server.address}/{NAME}.json"]) == 0
    assert entry.sha256 in capsys.readouterr().out
    clips = torch.randn(2, 3, 3, 4, 32, 32)
    fetched = kdvideo.create_pcl_model(NAME, pretrained=True).eval()
    with torch.no_grad():
        for key, expected in model(clips).items():
            assert torch.equal(fetched(clips)[key], expected), key
    assert server.requests[entry.file] == 1


def test_a_taken_name_is_not_overwritten(server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Another model under a name of mine needs --replace; the same model again does not."""
    publish_tiny()
    release([NAME], str(server.folder), url=server.address, zoo=Zoo.user())
    publish_tiny(config="SEED: 1\n", replace=True)
    command = ["zoo", "fetch", f"{server.address}/{NAME}.json"]
    assert main(command) == 2
    assert "is taken in" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert main(command) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f'"name": "{NAME}"', '"name": "../../x"', "is no zoo name"),
        (f'"file": "{NAME}', '"file": "../x', "names a file outside its zoo"),
        ('"urls": [', '"urls": [], "u": [', "missing or unknown"),
        ("{", "[", "is no zoo entry"),
    ],
)
def test_entries_that_cannot_be_taken(
    server: FaultyServer, capsys: pytest.CaptureFixture, old: str, new: str, message: str
):
    """What comes from elsewhere is checked before a name of it becomes a path."""
    publish_tiny()
    release([NAME], str(server.folder), url=server.address, zoo=Zoo.user())
    path = server.folder / f"{NAME}.json"
    path.write_text(path.read_text().replace(old, new, 1))
    assert main(["zoo", "fetch", f"{server.address}/{NAME}.json"]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_released(tmp_path: Path, capsys: pytest.CaptureFixture):
    """An empty zoo, weights of others, a damaged file; nothing is written."""
    command = ["zoo", "release", str(tmp_path / "out"), "--url", "https://h/x"]
    for names, message in (([], "no models to release"), (["--names", "c3d.rspnet_k400"], "is published by others")):
        assert main([*command, *names]) == 2
        assert message in capsys.readouterr().err
    _, entry = publish_tiny()
    weights_file(entry).write_bytes(b"x")
    assert main(command) == 2
    assert "sha256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class WriteOnlyStore(ReadOnlyHandler):
    """Stands for an object store: no renames, so what is written is there; notes the order."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    def _get_supported_prefixes(self) -> list[str]:
        return ["store://"]

    def _mkdirs(self, path: str, **kwargs: object) -> None:
        """Stores have no folders."""

    def _copy_from_local(self, local_path: str, dst_path: str, overwrite: bool = False, **kwargs: object) -> bool:
        self.written[dst_path] = Path(local_path).read_bytes()
        return True


def test_entries_are_written_last_on_a_store(monkeypatch: pytest.MonkeyPatch):
    """Whoever sees an entry finds its weights."""
    monkeypatch.setattr(remote.PATH_MANAGER, "_path_handlers", dict(remote.PATH_MANAGER._path_handlers))
    store = WriteOnlyStore()
    remote.PATH_MANAGER.register_handler(store)
    entries = [publish_tiny(name)[1] for name in ("a.one", "b.two")]
    release([entry.name for entry in entries], "store://b/zoo/", url="https://h/zoo", zoo=Zoo.user())
    names = [address.removeprefix("store://b/zoo/") for address in store.written]
    assert names == [*(entry.file for entry in entries), "MODEL_ZOO.md", "SHA256SUMS", "a.one.json", "b.two.json"]
