"""Models by name, with published weights and a report on what was loaded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_zoo import NAME, publish_tiny, weights_file

import kdvideo
from kdvideo.zoo.load import load_pcl_model


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


def test_a_backbone_that_was_published_alone_gets_a_head():
    """As a student of features is finetuned: its names have no "backbone." before them."""
    backbone = kdvideo.create_model("r3d_10", width=4, clip_spec=kdvideo.ClipSpec(clip_len=4, size=32)).eval()
    kdvideo.publish(backbone, "r3d_10_w4.alone", licence="MIT")
    model = kdvideo.create_model("r3d_10_w4.alone", num_classes=3, pretrained=True).eval()
    clips = random_clips()[:, 0]
    with torch.no_grad():
        assert torch.equal(model.backbone(clips), backbone(clips))
    assert set(kdvideo.load_pretrained(model, "r3d_10_w4.alone").new) == {"head.weight", "head.bias"}


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


def test_pretrained_architecture_names_its_entries():
    """`pretrained` needs to know which weights."""
    publish_tiny()
    with pytest.raises(ValueError, match=re.escape(NAME)):
        kdvideo.create_model("r3d_10", pretrained=True)
    with pytest.raises(ValueError, match="width cannot be given"):
        kdvideo.create_model(NAME, width=8)


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
