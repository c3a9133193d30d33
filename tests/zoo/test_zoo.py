"""Entries, names, loading with its report, publishing, and files that are not what they should be."""

import http.server
import os
import re
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import PCLModel
from kdvideo.models.spec import ModelSpec
from kdvideo.paths import kdvideo_home as kdvideo_home_dir
from kdvideo.paths import user_zoo
from kdvideo.zoo.entry import ZooEntry, check_name
from kdvideo.zoo.load import load_pcl_model
from kdvideo.zoo.publish import publish
from kdvideo.zoo.render import render_catalogue
from kdvideo.zoo.sources import PATH_MANAGER, list_entries, resolve_weights

NAME = "r3d_10_w4.pcl-vcp_tiny-s1"
SPEC = ModelSpec(
    backbone="r3d_10",
    backbone_kwargs={"width": 4},
    clip_spec=ClipSpec(clip_len=4, size=32),
    head="pcl_head",
    head_kwargs={"num_pretext_classes": 5, "tuple_len": 3, "projection_dim": 16},
)
FACTS = {
    "metrics": {"pretext_accuracy": 0.5, "majority_share": 0.2, "retrieval_at_1": 0.25},
    "protocol": "none",
    "teacher": None,
    "dataset": "tiny split 1",
    "config": "SEED: 0\n",
    "source": "a test",
    "licence": "Apache-2.0",
}


def publish_tiny(name: str = NAME, config: str = "SEED: 0\n", **kwargs) -> tuple[PCLModel, ZooEntry]:
    model = SPEC.build().eval()
    return model, publish(model, name, zoo_dir=user_zoo(), spec=SPEC, facts={**FACTS, "config": config}, **kwargs)


def weights_file(entry: ZooEntry) -> Path:
    return user_zoo() / "weights" / entry.file


def random_clips() -> torch.Tensor:
    return torch.randn(2, 3, 3, 4, 32, 32)


def test_published_model_loads_by_name():
    """Backbone and heads come back, `list_models` sees the entry, the file is named by its hash."""
    model, entry = publish_tiny()
    assert NAME in kdvideo.list_models("r3d_10_w4*")
    assert entry.file == f"{NAME}-{entry.sha256[:8]}.safetensors"
    loaded = kdvideo.create_pcl_model(f"kdvideo://{NAME}", pretrained=True).eval()
    clips = random_clips()
    with torch.no_grad():
        for key, expected in model(clips).items():
            assert torch.equal(loaded(clips)[key], expected), key
        backbone = kdvideo.create_model(NAME, pretrained=True).eval()
        assert torch.equal(backbone(clips[:, 0]), model.backbone(clips[:, 0]))


def test_new_process_gives_the_same_bits(kdvideo_home: Path, tmp_path: Path):
    """An entry rebuilt elsewhere gives bit-identical features (same batch, threads and memory format)."""
    model, _ = publish_tiny()
    clips = random_clips()
    torch.save(clips, tmp_path / "clips.pt")
    script = (
        "import sys, torch, kdvideo\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"model = kdvideo.create_pcl_model('{NAME}', pretrained=True).eval()\n"
        "with torch.no_grad():\n"
        "    torch.save(model(torch.load(sys.argv[1]))['feature'], sys.argv[2])\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "clips.pt", tmp_path / "feature.pt"], check=True)
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "feature.pt"), model(clips)["feature"])


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


def test_report_on_a_classifier():
    """The backbone is used, the heads are dropped with the reason, the new head is said to be new."""
    publish_tiny()
    model = kdvideo.create_model(NAME, num_classes=7)
    report = kdvideo.load_pretrained(model, NAME)
    assert set(report.new) == {"head.weight", "head.bias"}
    assert all(key.startswith(("pretext_head.", "projection_head.")) for key in report.dropped)
    assert set(report.dropped.values()) == {"the model has no such part"}
    assert len(report.used) == len(model.backbone.state_dict())
    assert report.missing == ()
    assert model(torch.randn(2, 3, 4, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        (
            "r3d_10",
            {"width": 8},
            "has shape (4, 3, 3, 7, 7), the model's (8, 3, 3, 7, 7): another architecture or width",
        ),
        ("r3d_18", {"width": 4}, "lack 48 tensors of the backbone, the first blocks.1.res_blocks.1"),
    ],
)
def test_other_architectures_are_refused(name: str, kwargs: dict, message: str):
    """Shape mismatches and missing backbone tensors raise, unlike in fvcore's Checkpointer."""
    publish_tiny()
    model = kdvideo.create_model(name, **kwargs)
    with pytest.raises(ValueError, match=re.escape(message)):
        kdvideo.load_pretrained(model, NAME)


def test_a_bare_file_says_what_it_is():
    """A teacher can be given as a path: the header of the file has what the network is built from."""
    model, entry = publish_tiny()
    teacher, weights = load_pcl_model(str(weights_file(entry)))
    assert weights.sha256 == entry.sha256
    assert all(
        torch.equal(a, b) for a, b in zip(teacher.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_float16_is_stored_rounded():
    """Half the bytes; what is loaded is float32 again, within a half-precision rounding."""
    model, entry = publish_tiny(dtype=torch.float16)
    loaded = kdvideo.create_pcl_model(NAME, pretrained=True)
    weight, stored = model.pretext_head.fc.weight, loaded.pretext_head.fc.weight
    assert stored.dtype == torch.float32
    assert torch.equal(stored, weight.half().float())
    assert weights_file(entry).stat().st_size < 0.6 * sum(v.nbytes for v in model.state_dict().values()) + 20_000


def test_names_that_are_taken():
    """Refused unless told to replace; replacing removes the old file."""
    _, first = publish_tiny()
    with pytest.raises(ValueError, match=f"{NAME} is taken in .*: choose another name or set ZOO.REPLACE True"):
        publish_tiny(config="SEED: 1\n")
    _, second = publish_tiny(config="SEED: 1\n", replace=True)
    assert first.file != second.file
    assert [path.name for path in (user_zoo() / "weights").iterdir()] == [second.file]
    assert [entry.sha256 for entry in list_entries(user_zoo())] == [second.sha256]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "a..b", "", "x" * 151, "a b"])
def test_names_that_lead_elsewhere(name: str):
    """A name becomes a file name, so it holds nothing of a path."""
    with pytest.raises(ValueError, match="is no zoo name"):
        check_name(name)
    with pytest.raises(ValueError, match="is no zoo name"):
        resolve_weights(f"kdvideo://{name}")


def test_unknown_names_show_close_ones():
    """Both a backbone's and an entry's name are offered."""
    publish_tiny()
    with pytest.raises(ValueError, match="unknown model 'r3d_11': did you mean r3d_1"):
        kdvideo.create_model("r3d_11")
    with pytest.raises(ValueError, match=re.escape(f"unknown zoo entry '{NAME}0': did you mean {NAME}")):
        resolve_weights(f"kdvideo://{NAME}0")


def test_pretrained_architecture_names_its_entries():
    """`pretrained` needs to know which weights."""
    publish_tiny()
    with pytest.raises(ValueError, match=re.escape(NAME)):
        kdvideo.create_model("r3d_10", pretrained=True)
    with pytest.raises(ValueError, match="width cannot be given"):
        kdvideo.create_model(NAME, width=8)


def test_entry_round_trip():
    """What is written is read back; an entry that points outside its zoo or lacks a key is refused."""
    _, entry = publish_tiny()
    text = entry.to_json()
    assert ZooEntry.from_json(text, origin="here") == entry
    with pytest.raises(ValueError, match="here names a file outside its zoo"):
        ZooEntry.from_json(text.replace(entry.file, "../" + entry.file), origin="here")
    with pytest.raises(ValueError, match=r"missing or unknown \['mac_s', 'macs'\]"):
        ZooEntry.from_json(text.replace('"macs"', '"mac_s"'), origin="here")
    with pytest.raises(ValueError, match="here is no zoo entry"):
        ZooEntry.from_json("{", origin="here")


def test_catalogue_is_rendered():
    """MODEL_ZOO.md of the zoo has the entry's row after publishing."""
    _, entry = publish_tiny()
    text = (user_zoo() / "MODEL_ZOO.md").read_text()
    assert text == render_catalogue([entry])
    assert f"| `{NAME}` | 4 x 32², residual | 0.06 M |" in text
    assert "| 50.0 (20.0) | 25.0 | - | - |" in text


def test_iopath_opens_zoo_names():
    """The path manager hands out the checked file for kdvideo://NAME."""
    _, entry = publish_tiny()
    assert PATH_MANAGER.get_local_path(f"kdvideo://{NAME}") == str(weights_file(entry))
    with PATH_MANAGER.open(f"kdvideo://{NAME}", "rb") as stream:
        assert stream.read() == weights_file(entry).read_bytes()


def test_files_that_are_no_weights(tmp_path: Path):
    """Each is one line that names the file."""
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.pt").write_text("no pickle")
    torch.save({"epoch": 1}, tmp_path / "other.pt")
    for source, message in (
        (tmp_path / "missing.pt", "does not exist"),
        (tmp_path / "empty.safetensors", "is no safetensors file"),
        (tmp_path / "text.pt", "cannot be read as a checkpoint"),
        (tmp_path / "other.pt", "is no checkpoint of kdvideo's"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            load_pcl_model(str(source))
        assert "\n" not in str(error.value)
        assert source.name in str(error.value)


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_malicious_pickle_is_not_executed(tmp_path: Path):
    """What would run code is not loaded; here the weights need it, so they are refused."""
    trace = tmp_path / "was_here"
    torch.save({"student": {}, "model": _Malicious(trace)}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="does not describe a network"):
        load_pcl_model(str(tmp_path / "bad.pt"))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"sha256": "', '"sha256": "x', "sha256 is 'x.*', it must be 8 to 64 hex digits"),
        ('"name": "r3d', '"name": "c3d', "is the entry of 'c3d_10_w4.pcl-vcp_tiny-s1': its file must be named"),
        ('"backbone": ', '"backbones": ', "does not describe a network of this version"),
    ],
)
def test_one_bad_entry_does_not_hide_the_others(old: str, new: str, message: str):
    """It is refused by name and left out of lists."""
    publish_tiny()
    publish_tiny("good.one")
    path = user_zoo() / "entries" / f"{NAME}.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        resolve_weights(NAME)
    names = kdvideo.list_models("*.*")
    assert "good.one" in names
    assert NAME not in names


def test_two_processes_publish_at_once(kdvideo_home: Path):
    """Neither entry is lost and the table has both."""
    script = "import sys, kdvideo\nfrom tests_zoo import publish_tiny\npublish_tiny(sys.argv[1])\n"
    environment = {**os.environ, "PYTHONPATH": str(kdvideo_home)}
    (kdvideo_home / "tests_zoo.py").write_text(Path(__file__).read_text())
    processes = [subprocess.Popen([sys.executable, "-c", script, f"same.time{i}"], env=environment) for i in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert [entry.name for entry in list_entries(user_zoo())] == ["same.time0", "same.time1"]
    table = (user_zoo() / "MODEL_ZOO.md").read_text()
    assert "same.time0" in table
    assert "same.time1" in table


@pytest.fixture
def server(tmp_path: Path):
    """A web server on this machine; yields its address and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_a_teacher_behind_an_address(server: tuple[str, Path]):
    """Fetched once, checked by the hash in its name; a damaged one is refused and fetched again the next time."""
    address, folder = server
    model, entry = publish_tiny()
    content = weights_file(entry).read_bytes()
    (folder / entry.file).write_bytes(content[:-1] + b"x")
    source = f"{address}/{entry.file}?download=1"
    with pytest.raises(ValueError, match="nothing was loaded"):
        load_pcl_model(source)
    (folder / entry.file).write_bytes(content)
    teacher, weights = load_pcl_model(source)
    assert weights.sha256 == entry.sha256
    assert torch.equal(teacher.pretext_head.fc.weight, model.pretext_head.fc.weight)
    (folder / entry.file).unlink()
    assert load_pcl_model(source)[1].path == weights.path


def test_addresses_that_fail(server: tuple[str, Path]):
    """One line each, and nothing is kept."""
    address, _ = server
    for source, message in (
        (f"{address}/missing.safetensors", "cannot be downloaded: HTTP Error 404"),
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
