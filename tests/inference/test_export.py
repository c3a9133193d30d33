"""Exported files give the model's outputs, and say what they are."""

from pathlib import Path

import pytest
import simplejson
import torch

import kdvideo
from kdvideo.data.clip_spec import ClipSpec, prepare_clips
from kdvideo.inference.export import DeployedModel, export_model, load_exported, measure_latency
from kdvideo.models.backbone import Backbone

SPEC = ClipSpec(clip_len=4, size=32, modality="residual")


@pytest.fixture(scope="module")
def model() -> Backbone:
    torch.manual_seed(0)
    return kdvideo.create_model("r3d_10", width=4, clip_spec=SPEC).eval()


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_exported_equals_eager(model: Backbone, tmp_path: Path, format: str):
    """Batches of other sizes than the traced one, from uint8 pixels; the difference that is reported is small."""
    path = tmp_path / "model"
    difference = export_model(model, path, format=format, facts={"model": "name"})
    assert 0 <= difference < 1e-4
    clips = torch.randint(0, 256, (5, 3, 4, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(prepare_clips(clips, SPEC))
        # Other kernels, other order of sums.
        torch.testing.assert_close(load_exported(path, format=format)(clips), expected, rtol=1e-4, atol=1e-4)


def test_onnx_file_says_what_it_is(model: Backbone, tmp_path: Path):
    """Name, hash, input convention and classes are in its metadata; a classifier gives its logits."""
    import onnxruntime

    classifier = kdvideo.create_model("r3d_10", num_classes=7, width=4, clip_spec=SPEC)
    classifier.class_names = list("abcdefg")
    export_model(classifier, tmp_path / "m.onnx", format="onnx", facts={"model": "name", "sha256": "ab"})
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    facts = simplejson.loads(session.get_modelmeta().custom_metadata_map["kdvideo"])
    assert facts == {
        "model": "name",
        "sha256": "ab",
        "clip_spec": SPEC.to_dict(),
        "short_side": 37,  # the centre of 32 x 32 is cut out of it
        "output": "logits",
        "classes": list("abcdefg"),
    }
    assert session.get_outputs()[0].shape[1] == 7
    measured = list(measure_latency(classifier, tmp_path / "m.onnx", format="onnx", runs=1))
    assert [(one.runtime, one.threads) for one in measured] == [
        ("PyTorch", 1),
        ("ONNX Runtime", 1),
        ("PyTorch", 2),
        ("ONNX Runtime", 2),
    ]
    assert all(one.milliseconds > 0 for one in measured)


def test_a_file_that_differs_is_not_kept(model: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Were the exported program wrong, nothing would be left at the path."""
    from kdvideo.inference import export

    monkeypatch.setattr(export, "PARITY", -1.0)
    with pytest.raises(ValueError, match="the exported file's outputs differ from the model's by"):
        export_model(model, tmp_path / "m.pt2", format="torch-export", facts={})
    assert list(tmp_path.iterdir()) == []


def test_deployed_model_takes_pixels(model: Backbone):
    deployed = DeployedModel(model)
    clips = deployed.example(2)
    assert clips.shape == (2, 3, 4, 32, 32)
    assert torch.equal(deployed(clips), model(prepare_clips(clips, SPEC)))
