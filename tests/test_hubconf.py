"""torch.hub on the checkout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kdvideo
from kdvideo.models import Backbone
from kdvideo.registry import BACKBONES

REPOSITORY = str(Path(__file__).resolve().parent.parent)
SHIPPED = "r3d_10_w16.pcl-vcp_ucf101mini-s1"


def load(entry_point: str, *args: object, **kwargs: object) -> torch.nn.Module:
    return torch.hub.load(REPOSITORY, entry_point, *args, source="local", **kwargs)


def test_every_backbone_is_an_entry_point():
    """And nothing else but the two functions that take any name."""
    module = torch.hub._import_module("hubconf", f"{REPOSITORY}/hubconf.py")  # what torch.hub.list does after cloning
    names = {name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")}
    assert names == {*BACKBONES.names(), "create_model", "create_pcl_model"}
    assert "VCOP" in module.r3d_10.__doc__


def test_load():
    """An architecture; its published weights by name; a new head."""
    backbone = load("r3d_10", width=4)
    assert isinstance(backbone, Backbone)
    assert backbone.num_features == 32
    published = kdvideo.create_model(SHIPPED, pretrained=True).state_dict()
    for model in (load("r3d_10", pretrained=SHIPPED), load("create_model", SHIPPED, pretrained=True)):
        assert all(torch.equal(value, published[key]) for key, value in model.state_dict().items())
    clip = torch.randn(1, 3, 8, 56, 56)
    assert load("r3d_10", pretrained=SHIPPED, num_classes=7)(clip).shape == (1, 7)


@pytest.mark.slow
def test_its_dependencies_are_what_loading_imports():
    """torch.hub looks for these before it imports anything: all that creating a pretrained model takes of ours."""
    script = (
        "import sys, json, kdvideo\n"
        f"kdvideo.create_model({SHIPPED!r}, pretrained=True)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    declared = set(torch.hub._import_module("hubconf", f"{REPOSITORY}/hubconf.py").dependencies)
    imported = set()
    for path in (Path(REPOSITORY) / "kdvideo").rglob("*.py"):
        imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text("utf-8"), flags=re.MULTILINE))
    assert declared <= loaded
    brought = {"kdvideo", "PIL"}  # torchvision imports Pillow
    assert (loaded & imported) - set(sys.stdlib_module_names) - brought <= declared


def test_what_cannot_be_loaded():
    """An architecture has no weights of its own, and weights have one architecture."""
    with pytest.raises(ValueError, match=SHIPPED):
        load("r3d_10", pretrained=True)
    with pytest.raises(ValueError, match="are weights of r3d_10, not of c3d"):
        load("c3d", pretrained=SHIPPED)
