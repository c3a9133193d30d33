"""Recognising layouts, strictness, and what the report says."""

import argparse
import logging
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from foreign import fill
from torch import Tensor
from torchvision.models import video

import kdvideo
from kdvideo.data.clip_spec import ClipSpec
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel
from kdvideo.zoo.formats import CLIP_SPECS, LAYOUTS, parse_clip_spec
from kdvideo.zoo.load import load_model

SLOW = next(layout for layout in LAYOUTS if layout.name == "pyslowfast-slow_r50")
RGB = CLIP_SPECS["torchvision"]


@pytest.fixture(scope="module")
def r3d_18() -> OrderedDict[str, Tensor]:
    """torchvision's network with 400 classes, under its own keys; each tensor one number, so that files are small."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in video.r3d_18().state_dict().items()}
    return OrderedDict((key, fill(key, (1,))[0].expand(shape)) for key, shape in shapes.items())


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """A network to fill."""
    return kdvideo.create_model("r3d_18", clip_spec=RGB)


def _save(checkpoint: object, tmp_path: Path) -> str:
    torch.save(checkpoint, tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_names_are_unique():
    """A layout's name goes into entries and messages."""
    names = [layout.name for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    assert {name for layout in LAYOUTS for name in layout.clip_specs} <= set(CLIP_SPECS)


def test_a_bare_file_needs_its_input_convention(r3d_18, tmp_path: Path):
    """The candidates are listed, none is taken."""
    source = _save(r3d_18, tmp_path)
    with pytest.raises(
        ValueError, match=r"torchvision-r3d_18, whose keys do not tell mean.*torchvision as `clip_spec`"
    ):
        load_model(source)
    model, _ = load_model(source, clip_spec=RGB)
    assert isinstance(model, ClassificationModel)
    assert model.backbone.clip_spec == RGB


def test_report_of_a_classifier(r3d_18, backbone: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Everything is accounted for, under the file's names where they are the file's."""
    source = _save({"state_dict": r3d_18, "epoch": 45}, tmp_path)
    caplog.set_level(logging.INFO)
    same = kdvideo.load_pretrained(ClassificationModel(backbone, num_classes=400), source, clip_spec=RGB)
    assert (len(same.used), dict(same.dropped), same.new) == (len(r3d_18), {}, ())
    assert same.renamed["head.weight"] == "fc.weight"
    assert sorted(same.renamed.values()) == sorted(r3d_18)
    other = kdvideo.load_pretrained(ClassificationModel(backbone, num_classes=7), source, clip_spec=RGB)
    assert other.new == ("head.weight", "head.bias")
    assert set(other.dropped) == {"fc.weight", "fc.bias"}
    assert str(other).endswith(
        "120 tensors used, 2 dropped (a classifier of 400 classes, the model's has 7), "
        "2 new and not trained: head.weight, head.bias"
    )
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    alone = kdvideo.load_pretrained(backbone, source, clip_spec=RGB)
    assert set(alone.dropped) == {"fc.weight", "fc.bias"}
    assert alone.new == ()


def test_counters_that_old_files_lack_are_no_error(r3d_18, backbone: Backbone, tmp_path: Path):
    """BatchNorm counts batches since torch 0.4.1; older files have no such tensor."""
    old = {key: value for key, value in r3d_18.items() if not key.endswith("num_batches_tracked")}
    kdvideo.load_pretrained(backbone, _save(old, tmp_path), clip_spec=RGB)
    assert torch.equal(backbone.state_dict()["blocks.0.norm.running_var"], r3d_18["stem.1.running_var"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.1.conv1.0.weight"), "lack 1 tensors of the backbone, the first blocks.3"),
        (lambda state: state.update(mystery=torch.zeros(1)), "has mystery, which that network does not have"),
        (lambda state: state.update({"layer4.2.conv1.0.weight": torch.zeros(1)}), r"have layer4\.2\.conv1\.0\.weight"),
        (lambda state: state.update({"stem.1.bias": torch.zeros(3)}), r"has shape \(3,\), the model's \(64,\)"),
        (lambda state: state.update({"stem.1.bias": argparse.Namespace()}), "stem.1.bias is a argparse.Namespace"),
        (lambda state: state.update({"stem.1.bias": 0.5}), "stem.1.bias is a float, not a tensor"),
        (lambda state: state.pop("stem.0.weight"), "of none of the layouts pcl-c3d"),
        (lambda state: state.update({5: torch.zeros(1)}), "no state dict"),
        (
            lambda state: state.update(
                {f"model.{key}": torch.zeros(shape) for key, shape in SLOW.signature.items() if shape is not None}
            ),
            "keys of several: torchvision-r3d_18, pyslowfast-slow_r50; save the one",
        ),
    ],
)
def test_loading_is_strict(r3d_18, backbone: Backbone, tmp_path: Path, change, message: str):
    """Nothing is left out in silence, and the model stays as it was."""
    state = OrderedDict(r3d_18)
    change(state)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        kdvideo.load_pretrained(backbone, _save(state, tmp_path), clip_spec=RGB)
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())


def test_weights_that_need_foreign_code_are_refused(tmp_path: Path):
    """A pickled module, or a state dict of a class of the author's."""
    for checkpoint in (torch.nn.Linear(2, 2), {"state_dict": argparse.Namespace()}):
        with pytest.raises(ValueError, match=r"Linear|argparse\.Namespace, which is not trusted"):
            load_model(_save(checkpoint, tmp_path), clip_spec=RGB)


def test_clip_specs_by_name_and_written_out():
    """TEACHER.CLIP_SPEC's two forms."""
    assert parse_clip_spec("torchvision") == RGB
    text = "{mean: [0.5, 0.5, 0.5], std: [1, 1, 1], modality: rgb, clip_len: 8}"
    expected = ClipSpec(clip_len=8, mean=(0.5, 0.5, 0.5), std=(1, 1, 1), modality="rgb")
    assert parse_clip_spec(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvison", "unknown input convention 'torchvison': did you mean torchvision"),
        ("{mean: [0, 0, 0], std: [1, 1, 1]}", "missing modality"),
        ("{mean: [0, 0, 0], std: [1, 1, 0], modality: rgb}", r"std \[1, 1, 0\]"),
        ("{mean: 0, std: [1, 1, 1], modality: rgb, crop: 3}", "unknown crop, mean 0"),
        ("{mean: [0, 0, 0], std: [1, 1, 1], modality: flow, size: -1}", "modality 'flow', size -1"),
        ("{", "unknown input convention"),
    ],
)
def test_wrong_clip_specs(text: str, message: str):
    """One line each, with what is wrong."""
    with pytest.raises(ValueError, match=message):
        parse_clip_spec(text)
