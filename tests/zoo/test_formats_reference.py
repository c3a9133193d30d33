"""Checkpoints in the layouts of other projects give those projects' own outputs."""

import argparse
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import read_reference, reference_clip, relative_error
from torch import Tensor

import kdvideo
from kdvideo.models.backbone import Backbone
from kdvideo.models.pcl import ClassificationModel, PCLModel
from kdvideo.models.spec import backbone_of
from kdvideo.zoo.formats import CLIP_SPECS
from kdvideo.zoo.load import load_model

TOLERANCE = 1e-4  # of the largest value; fp32 sums of another machine and order

State = dict[str, Tensor]


def _save(checkpoint: Any, tmp_path: Path) -> str:
    torch.save(checkpoint, tmp_path / "best_model_200.pt")
    return str(tmp_path / "best_model_200.pt")


def _in_data_parallel(state: State) -> Any:
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(("file", "backbone"), [("pcl_c3d", "c3d"), ("pcl_r3d", "r3d_10"), ("pcl_r21d", "r2plus1d_10")])
def test_pcl(foreign_outputs: Path, tmp_path: Path, file: str, backbone: str):
    """The whole of PCL's model, with and without `module.`: features, answers to the pretext task, projections."""
    state, expected = read_reference(foreign_outputs, file)
    model, parallel = (
        load_model(_save(each, tmp_path), clip_spec=CLIP_SPECS["pcl-residual"])[0]
        for each in (state, _in_data_parallel(state))
    )
    assert isinstance(model, PCLModel)
    assert model.backbone.state_dict().keys() == kdvideo.create_model(backbone).state_dict().keys()
    assert all(torch.equal(value, parallel.state_dict()[key]) for key, value in model.state_dict().items())
    clip = reference_clip()
    with torch.no_grad():
        feature = model.eval().backbone(clip)
        outputs = model.pretext_head(torch.stack([feature] * 3, dim=1))  # the clip three times
        projection = model.projection_head(feature)
    assert relative_error(feature, expected["feature"]) < TOLERANCE
    assert relative_error(outputs, expected["pretext_logits"]) < TOLERANCE
    assert relative_error(projection, expected["projection"]) < TOLERANCE


@pytest.mark.parametrize(
    ("file", "wrapper"),
    [
        ("severe_pcl_r2plus1d18", None),
        ("hara_r3d18", "state_dict"),
        pytest.param("ig65m_r2plus1d34", None, marks=pytest.mark.slow),  # 153 GMACs
        ("mmaction2_c3d", "state_dict"),
        ("mmaction2_r2plus1d34", "state_dict"),
    ],
)
def test_classifiers_and_backbones(foreign_outputs: Path, tmp_path: Path, file: str, wrapper: str | None):
    """Features, and logits where the reference has them; its clip is the input as it is, whatever the convention."""
    state, expected = read_reference(foreign_outputs, file)
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 200}, tmp_path / "model.pt")
    model, _ = load_model(str(tmp_path / "model.pt"), clip_spec=CLIP_SPECS["pcl-residual"])
    with torch.no_grad():
        feature = backbone_of(model.eval())(reference_clip())
        assert relative_error(feature, expected["feature"]) < TOLERANCE
        if "logits" in expected:
            assert isinstance(model, ClassificationModel)
            assert relative_error(model.head(feature), expected["logits"]) < TOLERANCE


@pytest.mark.parametrize(("file", "backbone"), [("pcl_c3d", "c3d"), ("pcl_r21d", "r2plus1d_10")])
def test_rspnet(foreign_outputs: Path, tmp_path: Path, file: str, backbone: str):
    """The same networks in an RSPNet file: the encoder that learns is taken, not its momentum copy."""
    state, expected = read_reference(foreign_outputs, file)
    nets = {key.removeprefix("base_network."): value for key, value in state.items() if key.startswith("base_network.")}
    rspnet = {
        **{f"encoder_q.encoder.{key}": value for key, value in nets.items()},
        **{f"encoder_k.encoder.{key}": torch.zeros_like(value) for key, value in nets.items()},
        **{f"encoder_{which}.fc{task}.2.weight": torch.zeros(128, 512) for which in "qk" for task in (1, 2)},
        "encoder_q.encoder.linear.weight": torch.zeros(1, 512),
        "queue": torch.zeros(128, 16),
        "queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    checkpoint = {"epoch": 200, "model": _in_data_parallel(rspnet), "arguments": argparse.Namespace(config="c3d")}
    torch.save(checkpoint, tmp_path / "model_best_200epoch.pth.tar")
    model, _ = load_model(str(tmp_path / "model_best_200epoch.pth.tar"), clip_spec=CLIP_SPECS["rspnet"])
    assert isinstance(model, Backbone)
    with torch.no_grad():
        assert relative_error(model.eval()(reference_clip()), expected["feature"]) < TOLERANCE
    source, spec = str(tmp_path / "model_best_200epoch.pth.tar"), CLIP_SPECS["rspnet"]
    report = kdvideo.load_pretrained(kdvideo.create_model(backbone), source, clip_spec=spec)
    assert (len(report.used), len(report.dropped)) == (len(nets), len(nets) + 7)
    assert report.dropped["module.encoder_k.encoder.bn1.weight"] == "the momentum copy of the encoder"


def test_the_page_of_layouts_is_current(foreign_outputs: Path):
    """Its counts are those of the code: python docs/make_checkpoints_table.py FOLDER writes them."""
    script = Path(__file__).resolve().parents[2] / "docs" / "make_checkpoints_table.py"
    module = runpy.run_path(str(script))
    assert module["table"](foreign_outputs) in module["PAGE"].read_text(encoding="utf-8")
