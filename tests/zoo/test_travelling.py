"""What weights carry with them: the names of their classes, and the input that they were trained on."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny_zoo import FACTS, publish_tiny, weights_file

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.pcl import ClassificationModel
from kdvideo.models.spec import ModelSpec
from kdvideo.zoo.convert import convert_weights
from kdvideo.zoo.entry import ZooEntry
from kdvideo.zoo.folder import Zoo
from kdvideo.zoo.formats import CLIP_SPECS
from kdvideo.zoo.load import load_model
from kdvideo.zoo.publish import publish

RGB = ClipSpec(clip_len=8, size=32, modality="rgb")
NAMES = ["walk", "run", "sit, or stand"]


def publish_classifier(name: str = "c3d.named", classes: list[str] = NAMES) -> tuple[ClassificationModel, ZooEntry]:
    spec = ModelSpec("c3d", {"width": 4}, RGB, "classification_head", {"num_classes": 3})
    model = spec.build()
    assert isinstance(model, ClassificationModel)
    return model, publish(model, name, zoo=Zoo.user(), spec=spec, facts=replace(FACTS, classes=classes))


def test_names_are_in_the_file(tmp_path: Path):
    """The file alone is enough, wherever it lies and whatever it is called."""
    _, entry = publish_classifier()
    alone = shutil.copy(weights_file(entry), tmp_path / "somewhere.safetensors")
    for source in ("c3d.named", str(alone)):
        model, _ = load_model(source)
        assert isinstance(model, ClassificationModel)
        assert list(model.class_names) == NAMES
    assert convert_weights(str(alone), "c3d.again", zoo=Zoo.user(), licence="MIT").classes == NAMES


def test_the_entry_has_the_last_word():
    """It can be corrected, the file under its hash cannot; files of earlier versions have no names."""
    _, entry = publish_classifier()
    Zoo.user().write(replace(entry, classes=["a", "b", "c"]))
    assert list(load_model("c3d.named")[0].class_names) == ["a", "b", "c"]
    _, unnamed = publish_classifier("c3d.unnamed", [])
    with safe_open(weights_file(unnamed), framework="pt") as file:
        assert file.metadata().keys() == {"kdvideo"}
    Zoo.user().write(replace(unnamed, classes=NAMES))
    assert list(load_model("c3d.unnamed")[0].class_names) == NAMES
    assert list(load_model(str(weights_file(unnamed)))[0].class_names) == []


def test_names_that_are_not_one_an_output_are_none(monkeypatch: pytest.MonkeyPatch):
    """Files of former versions and of other people may have such names."""
    monkeypatch.setattr("kdvideo.zoo.publish.check_readable", lambda model, spec, facts: None)
    publish_classifier("c3d.two", ["walk", "walk", "run"])
    assert list(load_model("c3d.two")[0].class_names) == []


def test_a_classifier_is_filled_by_name(caplog: pytest.LogCaptureFixture):
    """The same classes in another order: each keeps its row. Others: the head stays new. Unnamed: by number."""
    published, _ = publish_classifier()
    other = kdvideo.create_model("c3d", num_classes=3, width=4, clip_spec=RGB)
    assert isinstance(other, ClassificationModel)
    other.class_names = ["run", "sit, or stand", "walk"]
    assert kdvideo.load_pretrained(other, "c3d.named").new == ()
    assert torch.equal(other.head.weight, published.head.weight[[1, 2, 0]])
    assert torch.equal(other.head.bias, published.head.bias[[1, 2, 0]])
    other.class_names = ["run", "jump", "walk"]
    report = kdvideo.load_pretrained(other, "c3d.named")
    assert report.new == ("head.weight", "head.bias")
    assert report.dropped["head.bias"] == "a classifier of walk, .., the model's is of run, .."
    other.class_names = []
    kdvideo.load_pretrained(other, "c3d.named")
    assert torch.equal(other.head.weight, published.head.weight)


def test_the_input_is_that_of_the_weights(caplog: pytest.LogCaptureFixture):
    """Modality, mean and std; length, stride and size stay the model's. The log has one line with both."""
    publish_classifier()
    model = kdvideo.create_model("c3d", width=4, clip_spec=ClipSpec(clip_len=12, frame_stride=2, size=48))
    caplog.set_level(logging.WARNING)
    kdvideo.load_pretrained(model, "c3d.named")
    assert model.clip_spec == ClipSpec(clip_len=12, frame_stride=2, size=48, modality="rgb")
    (line,) = [record.getMessage() for record in caplog.records if "input" in record.getMessage()]
    assert line.startswith("the model's input is now rgb clips, mean [0.45")
    assert "which weights c3d.named were trained on; it was residual clips" in line
    caplog.clear()
    kdvideo.load_pretrained(model, "c3d.named")
    assert not caplog.records


def test_another_input_on_purpose(caplog: pytest.LogCaptureFixture):
    """`clip_spec` goes before the file's own, with a warning."""
    publish_tiny()
    model = kdvideo.create_model("r3d_10", width=4)
    kdvideo.load_pretrained(model, "r3d_10_w4.pcl-vcp_tiny-s1", clip_spec=CLIP_SPECS["pcl-rgb"])
    assert model.clip_spec == CLIP_SPECS["pcl-rgb"]
    assert "were trained on residual clips, mean [0.45" in caplog.text
    assert "as clip_spec says, they are used with rgb clips, mean [0.485" in caplog.text


def test_a_foreign_bare_file_is_asked_for_its_input(tmp_path: Path):
    """None is guessed, and the model is unchanged."""
    from torchvision.models.video import mc3_18

    file = tmp_path / "mc3_18.pth"
    torch.save(mc3_18().state_dict(), file)
    model = kdvideo.create_model("mc3_18")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"torchvision-mc3_18, whose keys do not tell mean.* as `clip_spec`"):
        kdvideo.load_pretrained(model, str(file))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    kdvideo.load_pretrained(model, str(file), clip_spec=CLIP_SPECS["torchvision"])
    assert model.clip_spec.convention == CLIP_SPECS["torchvision"].convention
