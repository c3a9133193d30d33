"""From names, paths and addresses to files that have passed their check."""

import dataclasses
import re

import pytest
import torch
from faulty_server import FaultyServer
from tiny_zoo import NAME, SPEC, publish_tiny, weights_file
from torchvision.models.video import R3D_18_Weights

import kdvideo
from kdvideo.paths import kdvideo_home as kdvideo_home_dir
from kdvideo.paths import user_zoo
from kdvideo.zoo import folder
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.load import load_pcl_model
from kdvideo.zoo.remote import PATH_MANAGER
from kdvideo.zoo.sources import resolve_weights


def test_one_changed_byte_is_refused():
    """The hash is checked first: the file is named and the model stays as it was."""
    _, entry = publish_tiny()
    path = weights_file(entry)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    model = SPEC.build()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} has sha256 .* nothing was loaded"):
        kdvideo.load_pretrained(model, NAME)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(ValueError, match="nothing was loaded"):
        kdvideo.load_pretrained(model, str(path))  # the name carries the hash as well


def test_unknown_names_show_close_ones():
    """Both a backbone's and an entry's name are offered."""
    publish_tiny()
    with pytest.raises(ValueError, match="unknown model 'r3d_11': did you mean r3d_1"):
        kdvideo.create_model("r3d_11")
    with pytest.raises(ValueError, match=re.escape(f"unknown zoo entry '{NAME}0': did you mean {NAME}")):
        resolve_weights(f"kdvideo://{NAME}0")


def test_iopath_opens_zoo_names():
    """The path manager hands out the checked file for kdvideo://NAME."""
    _, entry = publish_tiny()
    assert PATH_MANAGER.get_local_path(f"kdvideo://{NAME}") == str(weights_file(entry))
    with PATH_MANAGER.open(f"kdvideo://{NAME}", "rb") as stream:
        assert stream.read() == weights_file(entry).read_bytes()


def test_a_teacher_behind_an_address(server: FaultyServer):
    """Fetched once, checked by the hash in its name; a damaged one is refused and fetched again the next time."""
    model, entry = publish_tiny()
    content = weights_file(entry).read_bytes()
    (server.folder / entry.file).write_bytes(content[:-1] + b"x")
    source = f"{server.address}/{entry.file}?download=1"
    with pytest.raises(ValueError, match="nothing was loaded"):
        load_pcl_model(source)
    (server.folder / entry.file).write_bytes(content)
    teacher, weights = load_pcl_model(source)
    assert weights.sha256 == entry.sha256
    assert torch.equal(teacher.pretext_head.fc.weight, model.pretext_head.fc.weight)
    (server.folder / entry.file).unlink()
    assert load_pcl_model(source)[1].path == weights.path
    assert PATH_MANAGER.get_local_path(source) == str(weights.path)


@pytest.mark.usefixtures("quick")
def test_addresses_that_fail(server: FaultyServer):
    """One line each, and nothing is kept."""
    for source, message in (
        (f"{server.address}/missing.safetensors", "cannot be downloaded: HTTP Error 404"),
        ("http://127.0.0.1:1/x.safetensors", "cannot be downloaded: .*refused"),
        ("http://h:abc/x.safetensors", "cannot be downloaded"),
        ("ftp://h/x.safetensors", "choose a zoo name, a path, or an address"),
        ("weights.bin/", "a file must end in .safetensors or .pt"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            resolve_weights(source)
        assert "\n" not in str(error.value)
    downloads = kdvideo_home_dir() / "downloads"
    assert not downloads.exists() or list(downloads.iterdir()) == []


def test_addresses_of_entries_are_those_entries(monkeypatch: pytest.MonkeyPatch):
    """Of the zoo that comes with kdvideo, for torchvision's enums too: the entry knows the input convention."""
    _, entry = publish_tiny()
    address = R3D_18_Weights.KINETICS400_V1.url
    Zoo.user().write(dataclasses.replace(entry, urls=["http://localhost/elsewhere", address]))
    monkeypatch.setattr(folder, "zoo_root", user_zoo)
    for source in (address, "R3D_18_Weights.KINETICS400_V1"):
        assert resolve_weights(source).entry.name == NAME
    with pytest.raises(ValueError, match=r"R3D_18_Weights\.KINETICS: torchvision has no such weights"):
        resolve_weights("R3D_18_Weights.KINETICS")
