"""Files of weights of an attacker: small ones that unpack to terabytes, and what is no file at all."""

import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_zoo import NAME, fork, publish_tiny, weights_file

from kdvideo.cli import main
from kdvideo.files import check_archive
from kdvideo.paths import kdvideo_home, user_zoo
from kdvideo.zoo.load import load_model
from kdvideo.zoo.unpickle import read_checkpoint

WEIGHTS = {"backbone.x": torch.arange(4.0)}


def compressed(path: Path, zeros: int) -> Path:
    """A checkpoint as torch.save writes it, but compressed, with a storage of so many bytes, all 0."""
    torch.save(WEIGHTS, path)
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in parts.items():
            target.writestr(name, bytes(zeros) if name.endswith("/data/0") else data)
    return path


def test_compressed_checkpoints_are_refused(tmp_path: Path):
    """They were unpacked into memory, a thousandfold; what torch.save writes is never compressed."""
    path = compressed(tmp_path / "bomb.pt", 1 << 26)
    assert path.stat().st_size < 1 << 18
    for read in (read_checkpoint, check_archive):
        with pytest.raises(ValueError, match=r"cannot be read as a checkpoint \(its part .* is compressed"):
            read(path)
    torch.save(WEIGHTS, path)
    check_archive(path)
    assert torch.equal(read_checkpoint(path)["backbone.x"], WEIGHTS["backbone.x"])


def test_parts_that_lie_over_each_other_are_refused(tmp_path: Path):
    """A directory that lists one part a thousand times makes checking take a thousand times as long."""
    path = tmp_path / "overlap.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 16))
        archive.filelist *= 1000
    with pytest.raises(ValueError, match="its parts are larger than the file"):
        check_archive(path)


def read_with_little_memory(path: Path) -> None:
    """What the pickle asks for would take 40 GB; ends with 7 if it is asked for."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    try:
        read_checkpoint(path)
    except ValueError as error:
        if "MemoryError" in str(error):
            os._exit(7)


def test_a_memo_of_billions_is_not_allocated(tmp_path: Path):
    """Five bytes of a pickle make C's unpickler allocate, and fill, as many places as they say."""
    path = tmp_path / "memo.pt"
    magic = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {})
    program = b"\x80\x02cunknown\nname\nr" + struct.pack("<I", 0x7FFFFFFF) + b"0}."
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in magic) + program + pickle.dumps([], 2))
    process = fork(read_with_little_memory, path)
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("length", [0, 99 << 20, 8 << 30, 2**64 - 1])
def test_headers_longer_than_the_file(tmp_path: Path, length: int):
    """safetensors looks at the file's size first."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(ValueError, match="is no safetensors file"):
        load_model(str(path))


@pytest.mark.parametrize(
    "description",
    [
        "[" * 100_000,
        "5",
        '{"backbone": [], "backbone_kwargs": {}, "clip_spec": {"mean": [1, 1, 1], "std": [1, 1, 1]}}',
        '{"backbone": "r3d_10", "backbone_kwargs": [], "clip_spec": {"mean": [1, 1, 1], "std": [1, 1, 1]}}',
        '{"backbone": "r3d_10", "backbone_kwargs": {"width": "x"}, "clip_spec": {"mean": [1, 1, 1], "std": [1, 1, 1]}}',
    ],
)
def test_headers_that_describe_no_network(tmp_path: Path, description: str):
    """A bare file says what it is built from, and may say anything."""
    path = tmp_path / "a.safetensors"
    save_file({"backbone.x": torch.zeros(1)}, path, metadata={"kdvideo": description})
    with pytest.raises(ValueError, match=r"nested too deeply|does not describe a network|no model can be built"):
        load_model(str(path))


def test_a_pipe_in_place_of_weights(capsys: pytest.CaptureFixture):
    """Whoever asked for its hash waited for ever."""
    _, entry = publish_tiny()
    path = weights_file(entry)
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    assert main(["zoo", "verify", "--zoo", str(user_zoo())]) == 1
    assert f"{path} is no file: remove it" in capsys.readouterr().err
    path.unlink()
    fetched = kdvideo_home() / "downloads" / NAME / entry.file
    fetched.parent.mkdir(parents=True)
    os.mkfifo(fetched)
    by_hand = kdvideo_home() / "by_hand.safetensors"
    by_hand.write_bytes(content)
    assert main(["zoo", "fetch", NAME, "--from", str(by_hand)]) == 0
    assert fetched.read_bytes() == content


def test_a_folder_called_as_a_dead_write_stops_nobody():
    """Every later publish ended at it."""
    publish_tiny()
    (user_zoo() / ".x.tmp").mkdir()
    publish_tiny("b.two")
    assert (user_zoo() / "entries" / "b.two.json").is_file()
